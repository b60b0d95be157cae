"""Random paragraph trees, and random orders of their events."""

from __future__ import annotations

import random
from collections.abc import Iterable

from hypothesis import strategies as st

from apar.events import Delta, Event, Started
from apar.tree import Node, ParagraphTree, ThreadPath

TEXTS = st.text(alphabet="ab \n:.é", min_size=1, max_size=8)


def _forking(subtrees: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    details = subtrees.filter(lambda node: bool(node.text))
    follows = st.one_of(subtrees, st.just(Node("")))
    return st.builds(Node, TEXTS, details, follows)


def trees() -> st.SearchStrategy[ParagraphTree]:
    """Legal trees of up to about 40 nodes; their nodes are not encoded."""
    return st.recursive(st.builds(Node, TEXTS), _forking, max_leaves=20).map(ParagraphTree)


def encoded(tree: ParagraphTree) -> ParagraphTree:
    """The tree with a token for each character."""
    return tree.encode(lambda text: [ord(character) for character in text])


def shuffled(events: Iterable[Event], rng: random.Random) -> list[Event]:
    """The events in another legal order: each thread's own order is kept, and a fork precedes its child."""
    waiting: dict[ThreadPath, list[Event]] = {}
    for event in events:
        waiting.setdefault(event.thread, []).append(event)
    order: list[Event] = []
    ready = {(0,)}
    while ready:
        thread = rng.choice(sorted(ready))
        event = waiting[thread].pop(0)
        order.append(event)
        if not waiting[thread]:
            ready.remove(thread)
        if child := getattr(event, "child", None):
            ready.add(child)
    return order


def delta(thread: ThreadPath, step: int, text: str) -> Delta:
    """A visible token for each character."""
    return Delta(thread, step, tuple(map(ord, text)), text)


def started(thread: ThreadPath, step: int) -> Started:
    return Started(thread, thread[:-1] or None, step)
