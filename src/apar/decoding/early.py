"""Children that are started before their `[Fork]` counts, where a thread is ahead of the others of its answer.

What is decoded for them counts when the answer has come to their fork. Until then they are no threads of the answer:
no limit and no budget knows of them.
"""

from __future__ import annotations

from collections.abc import Iterator

from apar.decoding.group import Group, Thread
from apar.decoding.lockstep import child_of


def update_early(group: Group) -> list[Thread]:
    """Start children early for the forks that are ahead, as far as they are likely to be granted.

    Returns those that were started before and whose forks are gone, with all that comes from them.
    """
    kept: list[Thread] = []
    if group.control is not None and group.params.max_parallel_threads is None:
        parents = list(group.threads)
        while parents:
            children = list(_children(group, parents.pop(), kept))
            kept += children
            parents += children
    gone = [thread for thread in group.early if thread not in kept]
    group.early = kept
    return gone


def _children(group: Group, parent: Thread, kept: list[Thread]) -> Iterator[Thread]:
    """The early children of a thread: those there are, and new ones."""
    assert group.control is not None
    number, prefix = parent.children, list(parent.tokens)
    for sampled in parent.ahead:
        prefix.append(sampled.token)
        if sampled.token != group.control.fork:
            continue
        path = (*parent.path, number)
        found = next((early for early in group.early if early.path == path), None)
        if found is not None:
            yield found
        elif _is_likely(group, parent, len(kept)):
            yield child_of(group, parent, prefix, number)
        number += 1


def _is_likely(group: Group, parent: Thread, others: int) -> bool:
    """Whether a fork that is ahead will be granted, as far as can be seen now."""
    ahead = sum(len(thread.ahead) for thread in group.threads)
    return (
        not group.grammar.never_forks(len(parent.path))
        and group.created + others < group.params.max_threads
        and group.budget - ahead >= 2 * (len(group.threads) + others)
    )
