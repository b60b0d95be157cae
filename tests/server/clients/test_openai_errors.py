"""The official `openai` client: what is refused becomes the exception that it has for it, with the reason."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from openai.types import Completion

from tests.server.clients import openai_clients
from tests.server.clients.openai_clients import GREEDY
from tests.server.served import KEY, MODEL, Served

TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}


@pytest.mark.parametrize(
    ("given", "param", "words"),
    [
        ({"temperature": 3}, "temperature", "less than or equal to 2"),
        ({"temperature": "warm"}, "temperature", "valid number"),
        ({"n": 0}, "n", "greater than or equal to 1"),
        ({"messages": []}, "messages", "at least 1"),
        ({"messages": [{"role": "wizard", "content": "a"}]}, "messages.0.role", "'user'"),
        ({"max_tokens": 10**30}, "max_tokens", ""),
        ({"top_logprobs": 2}, "top_logprobs", "needs logprobs"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "set stream to true"),
        ({"stop": [""]}, "stop.0", "at least 1 character"),
        ({"extra_body": {"temprature": 1}}, "temprature", "did you mean temperature?"),
        ({"extra_body": {"apar": {"threads": 4}}}, "apar.threads", "unknown field"),
        ({"extra_body": {"whatever": None}}, "whatever", "unknown field"),
        ({"logit_bias": {"cake": 1}}, "logit_bias.cake", "should match pattern"),
        ({"extra_body": {"n": 1.5}}, "n", "valid integer"),
        ({"tools": [TOOL]}, "tools", "decoded in parallel"),
        ({"tools": [TOOL], "tool_choice": "required"}, "tool_choice", "tools, which are not supported"),
        ({"response_format": {"type": "json_object"}}, "response_format", "only the response_format text"),
        ({"messages": [{"role": "tool", "content": "3", "tool_call_id": "a"}]}, "messages.0.role", "tools"),
        ({"messages": [{"role": "user", "content": "cake " * 9000}]}, None, "2048"),
    ],
)
def test_a_wrong_request_is_a_bad_request_with_the_field_and_the_reason(
    client: openai.OpenAI, given: dict[str, Any], param: str | None, words: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**{**GREEDY, **given})
    assert caught.value.status_code == 400
    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"
    assert words in caught.value.body["message"]  # type: ignore[index]


def test_a_wrong_request_for_a_stream_is_refused_before_it_begins(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="greater than or equal to 0"):
        client.chat.completions.create(**{**GREEDY, "temperature": -1}, stream=True)
    long = [{"role": "user", "content": "cake " * 9000}]
    with pytest.raises(openai.BadRequestError, match="2048"):
        client.chat.completions.create(**{**GREEDY, "messages": long}, stream=True)


def test_a_prompt_that_is_too_long_has_the_code_that_clients_look_for(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model=MODEL, prompt="cake " * 9000)
    assert caught.value.code == "context_length_exceeded"
    assert "prompt is too long: this model's maximum context length is 2048 tokens" in str(caught.value)


@pytest.mark.parametrize("key", ["wrong", KEY[:-1], f"{KEY}s"])
def test_a_wrong_key_is_an_authentication_error(served: Served, key: str) -> None:
    with openai_clients.client(served, key) as stranger:
        with pytest.raises(openai.AuthenticationError) as caught:
            stranger.chat.completions.create(**GREEDY)
        assert caught.value.code == "invalid_api_key"
        with pytest.raises(openai.AuthenticationError):
            stranger.models.list()


def test_another_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(**{**GREEDY, "model": "gpt-4o"})
    assert caught.value.code == "model_not_found"
    assert repr(MODEL) in str(caught.value)


def test_parts_of_the_api_that_are_not_here_are_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model=MODEL, input="Hello")
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model=MODEL, input="Hello")


def test_one_answer_more_than_there_are_places_is_a_rate_limit_error(served: Served, client: openai.OpenAI) -> None:
    before = served.metric("apar_requests_refused_total", reason="busy")

    def many() -> openai.Stream[Completion]:
        return client.completions.create(model=MODEL, prompt="a", n=128, max_tokens=2000, stream=True)

    with many(), many(), pytest.raises(openai.RateLimitError) as caught:
        client.completions.create(model=MODEL, prompt="a")
    assert int(caught.value.response.headers["retry-after"]) >= 1
    assert served.metric("apar_requests_refused_total", reason="busy") == before + 1
    served.check_idle()


def test_more_answers_than_there_are_places_at_all_are_a_bad_request(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="at most 256"):
        client.completions.create(model=MODEL, prompt=["a", "b", "c"], n=128)


@pytest.mark.parametrize(
    "given",
    [
        {"user": "somebody"},
        {"tools": [], "tool_choice": "none"},
        {"response_format": {"type": "text"}},
        {"service_tier": "auto", "store": False},
        {"extra_body": {"top_k": 5, "min_p": 0.1, "repetition_penalty": 1.1}},
        {"presence_penalty": 0.5, "frequency_penalty": -0.5, "logit_bias": {"5": -100}},
        {"extra_body": {"top_k": 5.0, "seed": 2**64 - 1, "tools": None, "stop": None}},
        {"max_completion_tokens": 5, "max_tokens": openai.NOT_GIVEN},
    ],
)
def test_what_asks_for_nothing_else_than_there_is_is_answered(client: openai.OpenAI, given: dict[str, Any]) -> None:
    answer = client.chat.completions.create(**{**GREEDY, "max_tokens": 5, **given})
    assert answer.usage.completion_tokens == 5
