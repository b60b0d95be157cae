"""What is kept of an engine's answer."""

from __future__ import annotations

import json

from apar.decoding.answer import Answer
from apar.eval.answered import Answered
from apar.events import Delta, Event, Finished, Forked, Started
from apar.tree import Node, ParagraphTree


def say(thread: tuple[int, ...], step: int, text: str) -> Delta:
    return Delta(thread, step, (step,), text)


EVENTS: tuple[Event, ...] = (
    Started((0,), None, 0),
    say((0,), 0, "One:"),
    Forked((0,), (0, 0), 1),
    Started((0, 0), (0,), 2),
    say((0,), 2, "\nTwo:"),
    say((0, 0), 2, " a thing."),
    Forked((0,), (0, 1), 3),
    Finished((0, 0), 3, "eos"),
    Started((0, 1), (0,), 4),
    say((0,), 4, "\nThree:"),
    Finished((0, 1), 4, "eos"),
    Forked((0,), (0, 2), 5),
    Started((0, 2), (0,), 6),
    Finished((0,), 6, "length"),
    Finished((0, 2), 6, "length"),
)


def test_threads_without_text_are_told_apart_by_why() -> None:
    kept = Answered.of("p", "forked", _answer(EVENTS), timed=True)
    assert (kept.threads, kept.empty_details, kept.unopened_details) == (4, 1, 1)
    assert not kept.ended
    assert kept.tree == ParagraphTree(Node("One:", Node(" a thing."), Node("\nTwo:\nThree:")))


def test_an_answer_is_plain_data() -> None:
    kept = Answered.of("p", "forked", _answer(EVENTS), timed=False)
    assert Answered.from_dict(json.loads(json.dumps(kept.to_dict()))) == kept


def _answer(events: tuple[Event, ...]) -> Answer:
    return Answer(
        text="One: a thing.\nTwo:\nThree:",
        finish_reason="length",
        events=events,
        threads=4,
        forks=3,
        tokens=4,
        decoded=4,
        prompt_tokens=3,
        steps=7,
        forward_passes=7,
        seconds=1.0,
        kv_blocks_peak=2,
        mode="forked",
        seed=0,
    )
