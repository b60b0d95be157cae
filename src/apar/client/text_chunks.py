"""What a completions endpoint streams by OpenAI's form: server-sent events, each a chunk in JSON with a piece of text.

`finish_reason` comes with the last piece or behind it, the usage in the same chunk or in one of its own, then `[DONE]`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any, Literal

from apar.client.errors import reading_chunk
from apar.client.response import DataLines
from apar.errors import RunError

_DONE = b"[DONE]"


@dataclass(frozen=True, slots=True)
class TextChunk:
    """A piece of text, why it is the last, and the usage: each where it is told.

    `completion_tokens` were sampled in all, `cached` of the prompt's were found in the server's cache.
    """

    text: str = ""
    finish: Literal["stop", "length"] | None = None
    completion_tokens: int | None = None
    cached: int | None = None


async def read_text_chunks(pieces: AsyncIterator[bytes], address: str) -> AsyncGenerator[TextChunk, None]:
    """The chunks of a response's bytes. Raises what the server failed with, and RunError for what is no such chunk."""
    lines = DataLines(address)
    async for piece in pieces:
        for data in lines.read(piece):
            if data != _DONE:
                yield _chunk(data, address)


def _chunk(data: bytes, address: str) -> TextChunk:
    with reading_chunk(address, data, "completion") as chunk:
        usage = chunk.get("usage") or {}
        details = usage.get("prompt_tokens_details") or {}
        completed, cached = _count(usage, "completion_tokens"), _count(details, "cached_tokens")
        if not chunk["choices"]:
            return TextChunk(completion_tokens=completed, cached=cached)
        [choice] = chunk["choices"]
        text = choice.get("text") or ""
        if not isinstance(text, str):
            raise ValueError("the text is none")
        return TextChunk(text, _finish(choice, address), completed, cached)


def _count(usage: dict[str, Any], name: str) -> int | None:
    count = usage.get(name)
    return count if isinstance(count, int) else None


def _finish(choice: dict[str, Any], address: str) -> Literal["stop", "length"] | None:
    match choice.get("finish_reason"):
        case None | "":
            return None
        case "stop" | "eos" | "eos_token":
            return "stop"
        case "length":
            return "length"
        case reason:
            raise RunError(f"the server at {address} ended the request with {reason!r}; its log says why")
