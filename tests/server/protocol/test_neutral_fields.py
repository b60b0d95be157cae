"""Fields that cannot change an answer, and values that ask for nothing, are taken."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from apar.server.protocol.chat import ChatRequest
from apar.server.protocol.completion import CompletionRequest

TURNS = [{"role": "user", "content": "a"}]
PLAIN = ChatRequest.model_validate({"model": "m", "messages": TURNS})


def chat(**fields: Any) -> ChatRequest:
    return ChatRequest.model_validate({"model": "m", "messages": TURNS, **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt_cache_key": "k"},
        {"prompt_cache_retention": "24h"},
        {"safety_identifier": "user-1"},
        {"service_tier": "flex"},
        {"metadata": {"run": "1"}},
        {"store": False},
        {"reasoning_effort": "none"},
        {"reasoning_effort": None},
        {"stop": ""},
    ],
)
def test_what_cannot_change_an_answer_is_taken(fields: dict[str, Any]) -> None:
    assert chat(**fields) == PLAIN
    given = {"model": "m", "prompt": "a"}
    assert CompletionRequest.model_validate(given | fields) == CompletionRequest.model_validate(given)


def test_no_log_probabilities_and_none_of_the_likeliest_is_none() -> None:
    asked = chat(logprobs=False, top_logprobs=0)
    assert asked.params(100, True).logprobs is None
    assert CompletionRequest.model_validate({"model": "m", "prompt": "a", "top_logprobs": 0}).logprobs is None


def test_top_p_0_is_greedy() -> None:
    params = chat(top_p=0, temperature=1.5).params(100, True)
    assert (params.temperature, params.top_p) == (0.0, 1.0)


def test_streams_may_be_asked_to_be_padded_or_not() -> None:
    for padded in (True, False):
        asked = chat(stream=True, stream_options={"include_usage": True, "include_obfuscation": padded})
        assert asked == chat(stream=True, stream_options={"include_usage": True})


def test_parts_may_have_cache_control() -> None:
    part = {"type": "text", "text": "a"}
    plain = chat(messages=[{"role": "user", "content": [part]}])
    marked = part | {"cache_control": {"type": "ephemeral"}}
    assert chat(messages=[{"role": "user", "content": [marked]}]) == plain


def test_messages_may_be_sent_back_as_servers_return_them() -> None:
    said = {"role": "assistant", "content": "b"}
    own = {"id": "msg_1", "type": "message", "status": "completed", "reasoning_content": "hm", "annotations": []}
    assert chat(messages=[*TURNS, said | own, *TURNS]) == chat(messages=[*TURNS, said, *TURNS])


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"stop": ["a", ""]}, "at least 1"),
        ({"top_logprobs": 1}, "needs logprobs"),
        ({"reasoning_effort": "high"}, "no levels"),
        ({"store": True}, "not stored"),
        ({"top_p": -0.1}, "greater"),
        ({"stream": True, "stream_options": {"include_usge": True}}, "did you mean include_usage"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a", "txt": 1}]}]}, "unknown field"),
        ({"messages": [{"role": "user", "content": "a", "di": "1"}]}, "unknown field"),
    ],
)
def test_what_asks_for_something_else_is_refused_as_before(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        chat(**fields)
