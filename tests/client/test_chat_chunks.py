from __future__ import annotations

import contextlib
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apar.assemble import tree_of
from apar.client.chat_chunks import ChunkReader
from apar.client.response import DataLines
from apar.errors import AparError
from apar.events import Finished, replay, to_json
from apar.tree import ParagraphTree
from tests.client.fake import FakeChat, sent
from tests.trees import delta, encoded, shuffled, started, trees

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda values: st.lists(values, max_size=2) | st.dictionaries(st.sampled_from(["a", "b"]), values, max_size=2),
    max_leaves=4,
)


def cut(data: bytes, rng: random.Random) -> list[bytes]:
    """The bytes in pieces that end anywhere."""
    borders = sorted(rng.sample(range(len(data) + 1), min(len(data), 20)))
    return [data[a:b] for a, b in zip([0, *borders], [*borders, len(data)], strict=True)]


@given(trees(), st.randoms(use_true_random=False))
def test_any_tree_comes_whole_in_whatever_pieces_and_order(tree: ParagraphTree, rng: random.Random) -> None:
    events = shuffled(replay(encoded(tree)), rng)
    chunks = []
    while events:
        news, events = events[: (count := rng.randint(1, 4))], events[count:]
        lines = [{**json.loads(to_json(event)), "parent": list(event.thread[:-1]) or None} for event in news]
        chunks.append(sent({"choices": [{"index": 0, "delta": {"content": ""}}], "apar": {"events": lines}}))
    chunks.append(sent({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))
    chunks.append(b": ping\n\ndata: [DONE]\n\n")
    assert tree_of(ChunkReader("here").read(cut(b"".join(chunks), rng))) == encoded(tree)


@given(st.data())
def test_whatever_a_server_sends_is_an_answer_or_an_error_of_ours(data: st.DataObject) -> None:
    pieces = FakeChat().pieces({"apar": {"stream": "threads"}})
    chunks = [json.loads(line) for line in DataLines("here").read(b"".join(pieces)) if line.startswith(b"{")]
    chunk = chunks[data.draw(st.integers(0, len(chunks) - 1))]
    spoil(chunk, data)
    with contextlib.suppress(AparError):
        list(ChunkReader("here").read(map(sent, chunks)))


def spoil(chunk: Any, data: st.DataObject) -> None:
    """Put anything in the place of one of its parts, however deep."""
    while True:
        keys = list(chunk) if isinstance(chunk, dict) else list(range(len(chunk)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(chunk[key], dict | list) or not chunk[key] or data.draw(st.booleans()):
            chunk[key] = data.draw(ANYTHING)
            return
        chunk = chunk[key]


@given(st.binary(max_size=40))
def test_bytes_that_are_no_chunks_are_an_error_of_ours(content: bytes) -> None:
    with contextlib.suppress(AparError):
        list(ChunkReader("here").read([b"data: " + content + b"\n\n"]))


def finished(**drafts: object) -> bytes:
    events = [started((0,), 0), delta((0,), 0, "a")]
    end = {"event": "finished", "thread": [0], "parent": None, "step": 1, "reason": "eos", **drafts}
    lines = [*({**json.loads(to_json(event)), "parent": None} for event in events), end]
    return sent({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "apar": {"events": lines}})


def test_drafts_are_told_of_each_thread_and_of_the_answer() -> None:
    reader = ChunkReader("here")
    parallel = {"forward_passes": 3, "drafted": [6, 3], "accepted": [2, 0]}
    chunks = [finished(drafted=9, accepted=2), sent({"choices": [], "metrics": {"parallel": parallel}})]
    [*_, end] = list(reader.read([*chunks, b"data: [DONE]\n\n"]))
    assert isinstance(end, Finished)
    assert (end.drafted, end.accepted) == (9, 2)
    assert (reader.stats().drafted, reader.stats().accepted) == ((6, 3), (2, 0))


@pytest.mark.parametrize("told", [None, 4, ["4"], [True], {"0": 4}])
def test_figures_of_drafts_that_are_none_are_left_out(told: object) -> None:
    reader = ChunkReader("here")
    chunk = {
        "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
        "metrics": {"parallel": {"drafted": told}},
    }
    list(reader.read([sent(chunk), b"data: [DONE]\n\n"]))
    assert reader.stats().drafted == ()
