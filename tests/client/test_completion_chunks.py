"""Chunks of a stream, however it is cut into pieces."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from apar.client.completion_chunks import Chunk, read_chunks
from apar.decoding.group import Sampled
from apar.errors import AparError, RunError
from apar.events import TokenLogprob
from tests.backends.vllm_server.fake import chunk, event

DONE = b"data: [DONE]\n\n"


async def _pieces(pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def _read(*pieces: bytes, count: int | None = None) -> list[Chunk]:
    async def read() -> list[Chunk]:
        return [each async for each in read_chunks(_pieces(pieces), "http://host", count)]

    return asyncio.run(read())


def test_pieces_may_be_cut_anywhere() -> None:
    usage = {"choices": [], "usage": {"prompt_tokens_details": {"cached_tokens": 32}}}
    stream = b": a comment\r\n\n" + event(chunk([5, 6])) + event(chunk([7], "stop")) + event(usage) + DONE
    expected = [
        Chunk((Sampled(5), Sampled(6))),
        Chunk((Sampled(7),), finished=True),
        Chunk(cached=32),
    ]
    assert _read(stream) == expected
    rng = random.Random(0)
    for _ in range(50):
        cuts = sorted(rng.randrange(len(stream)) for _ in range(rng.randrange(20)))
        pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
        assert _read(*pieces) == expected


def test_lines_may_end_as_in_http() -> None:
    assert _read(event(chunk([5])).replace(b"\n", b"\r\n")) == [Chunk((Sampled(5),))]


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens_details": None}, {"prompt_tokens_details": {}}])
def test_a_server_need_not_tell_what_it_found_in_its_cache(usage: Any) -> None:
    assert _read(event({"choices": [], "usage": usage})) == [Chunk(cached=None)]


def test_log_probabilities_are_ranked_and_the_sampled_token_counts_only_by_its_rank() -> None:
    told = {
        "tokens": ["token_id:5"],
        "token_logprobs": [-3.0],
        "top_logprobs": [{"token_id:5": -3.0, "token_id:8": -0.5, "token_id:9": -1.5}],
    }
    [read] = _read(event(chunk([5], None, told)), count=2)
    assert read.sampled == (Sampled(5, TokenLogprob(5, -3.0, ((8, -0.5), (9, -1.5)))),)
    [read] = _read(event(chunk([5], None, told)), count=0)
    assert read.sampled == (Sampled(5, TokenLogprob(5, -3.0, ())),)


@pytest.mark.parametrize(
    "told",
    [
        None,
        {"tokens": [], "token_logprobs": [], "top_logprobs": []},
        {"tokens": ["a"], "token_logprobs": [-1.0], "top_logprobs": [{}]},
        {"tokens": ["token_id:6"], "token_logprobs": [-1.0], "top_logprobs": [{}]},
        {"tokens": ["token_id:5"], "token_logprobs": [None], "top_logprobs": [None]},
    ],
)
def test_log_probabilities_that_are_not_of_the_tokens_are_an_error(told: Any) -> None:
    with pytest.raises(RunError, match="no chunk of a completion"):
        _read(event(chunk([5], None, told)), count=1)


@pytest.mark.parametrize("data", [b"5", b"null", b"{}", b'{"choices": null, "usage": 3}', b'{"choices": [3]}', b"\xff"])
def test_what_is_no_chunk_is_an_error_of_ours(data: bytes) -> None:
    with pytest.raises(AparError):
        _read(b"data: " + data + b"\n\n")
