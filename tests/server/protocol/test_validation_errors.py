"""What is wrong with a request is told in OpenAI's form: what, where, and what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from apar.server.protocol.answers import Error
from apar.server.protocol.chat import ChatRequest
from apar.server.protocol.completion import CompletionRequest
from tests.engine.crowd import Crowd
from tests.server.serving import MODEL, Site, serving, wait_for

JSON = {"content-type": "application/json"}
TURNS = [{"role": "user", "content": "a"}]
UNKNOWN = {f"x{k}": 1 for k in range(100_000)}


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Crowd() as crowd, serving(lambda: crowd.llm) as site:
        wait_for(lambda: site.health.status == "ok", "loaded")
        yield site


@pytest.mark.parametrize(
    ("fields", "param", "says"),
    [
        ({"messages": []}, "messages", "at least 1"),
        ({"messages": None}, "messages", "missing"),
        ({"messages": "hello"}, "messages", "list"),
        ({"messages": [{"role": "user"}]}, "messages.0.content", "missing"),
        ({"messages": [{"role": "owner", "content": "a"}]}, "messages.0.role", "'system'"),
        ({"messages": [{"role": "tool", "content": "a"}]}, "messages.0.role", "tools"),
        ({"messages": [{"role": "user", "content": "a", "name": "bo"}]}, "messages.0.name", "put them into the text"),
        ({"messages": [{"role": "user", "content": "a", "nmae": "bo"}]}, "messages.0.nmae", "unknown field"),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "messages.0.content", "surrogate"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]},
            "messages.0.content.0.text",
            "valid",
        ),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content", "a text, or a list of parts"),
        ({"messages": [{"role": "assistant", "content": "a", "tool_calls": [{}]}]}, "messages.0.tool_calls", "tools"),
        ({"messages": [{"role": "user", "content": []}]}, "messages.0.content", "at least 1"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages.0.content", "'image_url'"),
        ({"max_tokens": 0}, "max_tokens", "greater than or equal to 1"),
        ({"max_tokens": 10**30}, "max_tokens", "less than"),
        ({"max_tokens": "5"}, "max_tokens", "integer"),
        ({"max_tokens": True}, "max_tokens", "integer"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens", "same limit"),
        ({"temperature": -1}, "temperature", "greater"),
        ({"temperature": 2.5}, "temperature", "less"),
        ({"top_p": -1}, "top_p", "greater"),
        ({"n": 0}, "n", "greater"),
        ({"n": 10**9}, "n", "less"),
        ({"seed": 2**70}, "seed", "less"),
        ({"stop": ["a", ""]}, "stop.1", "at least 1"),
        ({"logit_bias": {"x": 1}}, "logit_bias.x", "pattern"),
        ({"logit_bias": {"5": 1000}}, "logit_bias.5", "less"),
        ({"logit_bias": {"999": 1}}, None, "token 999"),
        ({"top_logprobs": 3}, "top_logprobs", "needs logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "less"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "stream to true"),
        ({"apar": {"stream": "threads"}}, "apar.stream", "stream to true"),
        ({"apar": {"max_threads": 0}}, "apar.max_threads", "greater"),
        ({"apar": {"frok": False}}, "apar.frok", "did you mean fork?"),
        ({"apar": 3}, "apar", "object"),
        ({"temprature": 1}, "temprature", "did you mean temperature?"),
        ({"tools": [{"type": "function"}]}, "tools", "not supported"),
        ({"response_format": {"type": "json_object"}}, "response_format", "only the response_format text"),
        ({"store": True}, "store", "not stored"),
        ({"reasoning_effort": "high"}, "reasoning_effort", "no levels"),
    ],
)
def test_a_wrong_chat_is_refused_with_the_field_and_the_reason(
    site: Site, fields: dict[str, Any], param: str | None, says: str
) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "a"}], **fields}
    response = site.client.post("/v1/chat/completions", content=json.dumps(body), headers=JSON)
    assert response.status_code == 400, response.text
    error = Error.model_validate(response.json()).error
    assert (error.type, error.param) == ("invalid_request_error", param)
    assert says in error.message


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"prompt": ""}, "at least 1"),
        ({"prompt": []}, "at least 1"),
        ({"prompt": [1, "a"]}, "prompt.1"),
        ({"prompt": {}}, "a text, token ids, or a list"),
        ({"prompt": "\ud800"}, "surrogate"),
        ({"prompt": "a", "top_logprobs": 2}, "unknown field top_logprobs; did you mean logprobs?"),
        ({"prompt": "a", "messages": []}, "unknown field messages"),
        ({"prompt": [[]]}, "at least 1"),
        ({"prompt": [10**6]}, "token 1000000"),
        ({"prompt": [-1]}, "greater"),
        ({"prompt": [5] * 200}, "context of 128 tokens"),
        ({"prompt": [38]}, "[Fork]"),
        ({"prompt": [39]}, "[Child]"),
        ({"prompt": "a", "echo": True}, "echo"),
        ({"prompt": "a", "best_of": 3}, "best_of"),
        ({"prompt": "a", "suffix": "b"}, "suffix"),
        ({"prompt": "a", "logprobs": True}, "integer"),
    ],
)
def test_a_wrong_completion_is_refused_with_the_reason(site: Site, fields: dict[str, Any], says: str) -> None:
    response = site.client.post("/v1/completions", content=json.dumps({"model": MODEL, **fields}), headers=JSON)
    assert response.status_code == 400, response.text
    assert says in Error.model_validate(response.json()).error.message


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", JSON, 400),
        (b"{", JSON, 400),
        (b"[1]", JSON, 400),
        (b"null", JSON, 400),
        (b'"a"', JSON, 400),
        (b'{"model": "\xff"}', JSON, 400),
        (b"[" * 200_000, JSON, 400),
        (b'{"model": "tiny", "n": ' + b"9" * 10_000 + b"}", JSON, 400),
        (b'{"model": "tiny", "temperature": NaN}', JSON, 400),
        (b'{"model": "tiny", "temperature": 1e999}', JSON, 400),
        (b"{}", {"content-type": "text/plain"}, 415),
        (b"a=b", {"content-type": "application/x-www-form-urlencoded"}, 415),
    ],
)
def test_a_body_that_is_no_request_is_refused(site: Site, body: bytes, headers: dict[str, str], status: int) -> None:
    for path in ("/v1/chat/completions", "/v1/completions"):
        response = site.client.post(path, content=body, headers=headers)
        assert response.status_code == status, response.text
        assert Error.model_validate(response.json()).error.message


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("chat/completions", {"messages": [{"role": "user", "content": [1] * 500_000}]}),
        ("chat/completions", {"messages": [{"role": "user", "content": [{}] * 9_000}]}),
        ("chat/completions", {"messages": [5] * 500_000}),
        ("chat/completions", {"messages": [{}] * 9_000}),
        ("chat/completions", {"messages": TURNS, **UNKNOWN}),
        ("chat/completions", {"messages": TURNS, "apar": UNKNOWN}),
        ("chat/completions", {"messages": TURNS, "stop": [1] * 500_000}),
        ("chat/completions", {"messages": TURNS, "logit_bias": UNKNOWN}),
        ("completions", {"prompt": [-1] * 500_000}),
        ("completions", {"prompt": [[]] * 500_000}),
        ("completions", {"prompt": [1.5] * 500_000}),
        ("completions", {"prompt": [[-1] * 500_000]}),
    ],
)
def test_of_any_number_of_mistakes_only_a_few_are_looked_for(path: str, body: dict[str, Any]) -> None:
    model = ChatRequest if path.startswith("chat") else CompletionRequest
    with pytest.raises(ValidationError) as refused:
        model.model_validate({"model": MODEL, **body})
    assert refused.value.error_count() <= 3


def test_an_answer_may_be_sent_back_as_the_client_was_given_it(site: Site) -> None:
    given = site.chat("a", max_tokens=5, temperature=0).json()["choices"][0]["message"]
    assert "refusal" in given
    turns = [
        {"role": "user", "content": "a"},
        {**given, "tool_calls": [], "audio": None},
        {"role": "user", "content": "b"},
    ]
    plain = [{"role": turn["role"], "content": turn["content"]} for turn in turns]
    fields = {"max_tokens": 20, "temperature": 0}
    assert (
        site.chat(messages=turns, **fields).json()["choices"] == site.chat(messages=plain, **fields).json()["choices"]
    )


def test_a_prompt_that_is_far_too_long_is_refused_by_its_characters(site: Site) -> None:
    refused = site.chat("ab " * 3000)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert "9000 characters" in refused.json()["error"]["message"]
    tokens = site.complete([5] * 200)
    assert (tokens.status_code, tokens.json()["error"]["code"]) == (400, "context_length_exceeded")


@pytest.mark.parametrize("far", [False, True])
def test_a_prompt_that_is_too_long_is_told_in_the_words_that_clients_look_for(site: Site, far: bool) -> None:
    context = site.client.get("/v1/models").json()["data"][0]["max_model_len"]
    refused = site.chat("ab " * 3000) if far else site.complete([5] * context)
    message = refused.json()["error"]["message"]
    assert f"this model's maximum context length is {context} tokens" in message  # LiteLLM, vLLM's clients
    assert "prompt is too long" in message  # Anthropic's clients, LangChain
    assert "context_length_exceeded" in refused.text  # OpenAI's clients, LangChain


def test_unknown_models_paths_and_methods_are_told_so(site: Site) -> None:
    body = {"model": "gpt-4", "messages": [{"role": "user", "content": "a"}]}
    other = site.client.post("/v1/chat/completions", json=body)
    assert (other.status_code, other.json()["error"]["code"]) == (404, "model_not_found")
    nothing = site.client.get("/v1/embeddings")
    assert (nothing.status_code, nothing.json()["error"]["code"]) == (404, "not_found")
    method = site.client.get("/v1/chat/completions")
    assert (method.status_code, method.headers["allow"]) == (405, "POST")


def test_a_model_that_was_not_trained_to_fork_answers_sequentially_and_refuses_to_be_told_to_fork() -> None:
    from apar.engine.async_llm import AsyncLLM
    from apar.engine.llm import LLM
    from tests.engine.tiny import tiny_model, tiny_tokenizer

    def load() -> AsyncLLM:
        parts = LLM.from_parts(tiny_model(3), tiny_tokenizer(control=False), block_size=4, num_blocks=100)
        return AsyncLLM.from_llm(parts)

    with serving(load) as site:
        wait_for(lambda: site.health.status == "ok", "loaded")
        answer = site.chat("a", max_tokens=5, apar={"metrics": True})
        assert answer.json()["metrics"]["parallel"]["mode"] == "unforked"
        refused = site.chat("a", max_tokens=5, apar={"fork": True})
        assert refused.status_code == 400
        assert "not trained to fork" in refused.json()["error"]["message"]
