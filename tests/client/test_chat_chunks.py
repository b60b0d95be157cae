from __future__ import annotations

import contextlib
import json
import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from apar.assemble import tree_of
from apar.client.chat_chunks import ChunkReader
from apar.client.response import DataLines
from apar.errors import AparError
from apar.events import replay, to_json
from apar.tree import ParagraphTree
from tests.client.fake import FakeChat, sent
from tests.trees import encoded, shuffled, trees

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
