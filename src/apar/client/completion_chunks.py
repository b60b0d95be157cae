"""What vLLM's completions endpoint streams: server-sent events, each a chunk in JSON with some tokens of one choice.

The tokens come first, a chunk with `finish_reason` among them as the last, then a chunk without a choice that holds
the usage, then `[DONE]`. What fails after the first byte comes as a chunk with `error`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any

from apar.client.errors import reading_chunk
from apar.client.response import DataLines
from apar.decoding.group import Sampled
from apar.errors import ModelError, RunError
from apar.events import TokenLogprob

_DONE = b"[DONE]"
_TOKEN = "token_id:"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tokens, whether they are the last, and how many of the prompt's were found in the cache, where it is reported."""

    sampled: tuple[Sampled, ...] = ()
    finished: bool = False
    cached: int | None = None


async def read_chunks(pieces: AsyncIterator[bytes], address: str, count: int | None) -> AsyncGenerator[Chunk, None]:
    """The chunks of a response's bytes; `count` log probabilities of each token were asked for.

    Raises what the server failed with, RunError for what is no such chunk, ModelError where no vLLM answers.
    """
    lines = DataLines(address)
    async for piece in pieces:
        for data in lines.read(piece):
            if data != _DONE:
                yield _chunk(data, address, count)


def _chunk(data: bytes, address: str, count: int | None) -> Chunk:
    with reading_chunk(address, data, "completion") as chunk:
        cached = _cached(chunk.get("usage"))
        if not chunk["choices"]:
            return Chunk(cached=cached)
        [choice] = chunk["choices"]
        return Chunk(_sampled(choice, address, count), _finished(choice, address), cached)


def _cached(usage: Any) -> int | None:
    """The server reports it if it was started with --enable-prompt-tokens-details."""
    details = (usage or {}).get("prompt_tokens_details") or {}
    cached = details.get("cached_tokens")
    return cached if isinstance(cached, int) else None


def _finished(choice: dict[str, Any], address: str) -> bool:
    reason = choice.get("finish_reason")
    if reason not in (None, "stop", "length"):
        raise RunError(f"the server at {address} ended the request with {reason!r}; its log says why")
    return reason is not None


def _sampled(choice: dict[str, Any], address: str, count: int | None) -> tuple[Sampled, ...]:
    tokens = choice.get("token_ids")
    if tokens is None:
        raise ModelError(
            f"the server at {address} sends no token ids: it is no vLLM server, or one too old to know "
            "return_token_ids; any other is asked by --backend completions"
        )
    if not all(isinstance(token, int) and token >= 0 for token in tokens):
        raise ValueError("token ids are whole numbers")
    if count is None:
        return tuple(map(Sampled, tokens))
    logprobs = choice["logprobs"]
    keys = ("tokens", "token_logprobs", "top_logprobs")
    found = zip(tokens, *(logprobs[key] for key in keys), strict=True)
    return tuple(Sampled(token, _logprob(token, name, logprob, top, count)) for token, name, logprob, top in found)


def _logprob(token: int, name: str, logprob: float, top: dict[str, float], count: int) -> TokenLogprob:
    """A token's log probability and those of the `count` likeliest; the sampled one stands among `top` in any case."""
    if _token(name) != token:
        raise ValueError(f"log probabilities of {name} for token {token}")
    ranked = sorted(top.items(), key=lambda entry: -entry[1])[:count]
    return TokenLogprob(token, float(logprob), tuple((_token(each), float(value)) for each, value in ranked))


def _token(name: str) -> int:
    if not name.startswith(_TOKEN):
        raise ValueError(f"{name} is no token id")
    return int(name.removeprefix(_TOKEN))
