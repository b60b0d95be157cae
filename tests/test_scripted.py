"""A tree told as if it were decoded."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from apar.assemble import Assembler, tree_of
from apar.decoding.answer import Answer
from apar.decoding.params import SamplingParams
from apar.errors import RequestError
from apar.events import Event, replay
from apar.tree import Node, ParagraphTree
from tests.scripted import Scripted

TREE = ParagraphTree(Node("1. Plan:", Node(" write it down."), Node("\n2. Rest.")))


def tell(stream: Generator[Event, None, Answer]) -> tuple[list[Event], Answer]:
    events: list[Event] = []
    while True:
        try:
            events.append(next(stream))
        except StopIteration as end:
            return events, end.value


def test_a_script_is_told_with_the_events_of_its_replay_and_read_as_its_text() -> None:
    events, answer = tell(Scripted(TREE).stream("anything"))
    assert events == list(replay(TREE)) == list(answer.events)
    assert tree_of(events) == TREE
    assert (answer.text, answer.threads, answer.forks) == (TREE.text, 2, 1)
    assert answer.steps == answer.critical_path < len(events)


def test_without_forking_a_script_is_one_thread_of_the_same_text() -> None:
    tree = TREE.encode(lambda text: [len(text)] * 3)
    events, answer = tell(Scripted(tree).stream("anything", SamplingParams(fork=False)))
    assembler = Assembler()
    assert "".join(assembler.feed(event) for event in events) == TREE.text
    assert (answer.threads, answer.tokens, answer.mode) == (1, 9, "unforked")


@pytest.mark.parametrize("params", [SamplingParams(stop=("x",)), SamplingParams(max_tokens=2)])
def test_what_would_cut_a_script_is_refused_at_once(params: SamplingParams) -> None:
    with pytest.raises(RequestError, match="told whole"):
        Scripted(TREE).stream("anything", params)
