"""Answers for the page to show."""

from __future__ import annotations

from apar.events import Event, Finished, replay
from apar.tree import Node, ParagraphTree

LIST = ParagraphTree(
    Node(
        "Some ways to save water:\n\n1. **Showers**:",
        Node(" Take shorter ones, and close the tap while you soap.\n   Two minutes are worth a bucket."),
        Node(
            "\n\n2. **Leaks**:",
            Node(" Find them at the meter", Node(", which turns  at night"), Node(", and mend them.")),
            Node("\n\n3. **Rain**:", Node(" Collect it in a butt."), Node("\n\nEvery drop counts.")),
        ),
    )
)
"""Threads 0, 0.0, 0.1, 0.1.0 and 0.2."""

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>&amp;\u2028\"'`${1}"


def events_of(tree: ParagraphTree) -> list[Event]:
    return list(replay(tree))


def with_drafts(events: list[Event], *numbers: tuple[int, int]) -> list[Event]:
    """The events with so many draft tokens (verified, right) of the threads, in the order in which they end."""
    left = iter(numbers)
    return [
        Finished(event.thread, event.step, event.reason, *next(left, (0, 0))) if isinstance(event, Finished) else event
        for event in events
    ]


def flat(tree: ParagraphTree) -> list[Event]:
    """The same text without forks."""
    return list(replay(ParagraphTree.leaf(tree.text)))
