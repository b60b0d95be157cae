"""The rules of forking. Pure functions of a group's state at the beginning of a logical step."""

from __future__ import annotations

from apar.decoding.group import Group, Thread

_PATH_OF_A_FORK = 3
"""Tokens that a fork needs on the child's path: `[Fork]`, `[Child]` and the detail's first token."""


def may_fork(group: Group, thread: Thread) -> bool:
    """Whether `thread` may sample `[Fork]` in this logical step.

    Never as the first token of an answer or of a detail, nor after another `[Fork]`, nor beyond the request's
    limits; and only if the detail is sure to have text. For that the context must have room, and the budget
    must cover two tokens of every live thread: one in this step, and one in the next, where the child's first
    comes last at worst.
    """
    control, params = group.control, group.params
    if control is None or not params.fork:
        return False
    return (
        thread.sampled > 0
        and thread.tokens[-1] != control.fork
        and group.created < params.max_threads
        and len(thread.path) < params.max_depth
        and group.budget >= 2 * len(group.threads)
        and len(thread.tokens) + _PATH_OF_A_FORK <= group.context
    )


def may_end(thread: Thread) -> bool:
    """Whether `thread` may sample end-of-sequence: a detail has text, so never as a child's first token."""
    return thread.sampled > 0 or len(thread.path) == 1


def spawn(group: Group, parent: Thread) -> Thread:
    """The child of `parent`, which has just sampled `[Fork]`: the same path, with `[Child]` appended.

    The child holds no blocks yet. Where its parent's keys and values are, the scheduler finds by the path.
    """
    assert group.control is not None
    tokens = [*parent.tokens, group.control.child]
    child = Thread((*parent.path, parent.children), tokens, (*parent.starts, len(tokens)), parent.detokenizer.fork())
    parent.children += 1
    group.created += 1
    return child
