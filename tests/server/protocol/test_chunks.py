"""Streams are what the server's description says of them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from apar.server.protocol.chunks import ChatChunk, Chunk, CompletionChunk, chunk_schemas, stream_of
from tests.server.served import MODEL, Served

EVERYTHING: dict[str, Any] = {
    "model": MODEL,
    "stream": True,
    "stream_options": {"include_usage": True},
    "max_tokens": 60,
    "temperature": 0,
    "apar": {"stream": "threads", "metrics": True},
}
QUESTION = "Give me five tips for sleeping better."


def events(served: Served, path: str, body: dict[str, Any]) -> list[str]:
    reply = served.post(path, body)
    assert reply.status_code == 200, reply.text
    return [event.removeprefix("data: ") for event in reply.text.split("\n\n")[:-1]]


def test_all_that_a_chat_may_tell_is_described(served: Served) -> None:
    body = {**EVERYTHING, "messages": [{"role": "user", "content": QUESTION}], "logprobs": True, "top_logprobs": 2}
    *told, end = events(served, "/v1/chat/completions", body)
    chunks = [ChatChunk.model_validate_json(event, strict=True) for event in told]
    assert end == "[DONE]"
    kinds = {event.event for chunk in chunks if chunk.apar for event in chunk.apar.events}
    assert kinds == {"started", "delta", "forked", "finished"}
    assert chunks[-1].usage is not None
    assert chunks[-1].metrics is not None


def test_all_that_a_completion_may_tell_is_described(served: Served) -> None:
    *told, end = events(served, "/v1/completions", {**EVERYTHING, "prompt": QUESTION, "logprobs": 1, "n": 2})
    chunks = [CompletionChunk.model_validate_json(event, strict=True) for event in told]
    assert end == "[DONE]"
    assert {choice.index for chunk in chunks for choice in chunk.choices} == {0, 1}


def test_what_is_not_described_is_noticed() -> None:
    chunk = {"id": "a", "created": 1, "model": "demo", "system_fingerprint": None, "choices": []}
    ChatChunk.model_validate({**chunk, "object": "chat.completion.chunk"})
    with pytest.raises(ValidationError, match="extra"):
        ChatChunk.model_validate({**chunk, "object": "chat.completion.chunk", "more": 1})


@pytest.mark.parametrize("chunk", [ChatChunk, CompletionChunk])
def test_everything_that_a_stream_refers_to_is_in_the_description(chunk: type[Chunk]) -> None:
    schemas = chunk_schemas()
    references = set(_references([stream_of(chunk), schemas]))
    assert chunk.__name__ in references
    assert references <= set(schemas)


def _references(form: Any) -> list[str]:
    """The names that a schema refers to, wherever in it."""
    if isinstance(form, list):
        return [name for item in form for name in _references(item)]
    if not isinstance(form, dict):
        return []
    here = [form["$ref"].rpartition("/")[2]] if isinstance(form.get("$ref"), str) else []
    return here + [name for value in form.values() for name in _references(value)]
