"""Answers of the API are those of the engine, whole or streamed, whatever is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from apar.assemble import tree_of
from apar.decoding.params import SamplingParams
from apar.engine.llm import LLM
from apar.events import Event, from_json
from apar.server.protocol.answers import ChatCompletion, Completion
from tests.engine.crowd import WORDS, Crowd, tiny_llm
from tests.server.serving import MODEL, Site, Told, serving, wait_for

GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 60}
SAMPLED: dict[str, Any] = {"temperature": 1.3, "max_tokens": 60, "seed": 5}


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Crowd() as crowd, serving(lambda: crowd.llm) as site:
        wait_for(lambda: site.health.status == "ok", "loaded")
        yield site


@pytest.fixture(scope="module")
def llm() -> LLM:
    """The same model, asked without a server."""
    return tiny_llm()


def events_of(told: Told, index: int = 0) -> list[Event]:
    """The events that chunks tell of an answer, without the parent that they add."""
    import json

    events = []
    for chunk in told.chunks:
        if chunk["choices"] and chunk["choices"][0]["index"] == index:
            for event in chunk.get("apar", {}).get("events", ()):
                parent = event.pop("parent")
                assert parent == (event["thread"][:-1] or None)
                if event["event"] == "started":
                    event["parent"] = parent
                events.append(from_json(json.dumps(event)))
    return events


@pytest.mark.parametrize("word", WORDS[:6])
def test_an_answer_is_that_of_the_engine(site: Site, llm: LLM, word: str) -> None:
    [expected] = llm.generate([word], SamplingParams(max_tokens=60))
    body = site.chat(word, **GREEDY).json()
    ChatCompletion.model_validate(body)
    [choice] = body["choices"]
    assert choice["message"]["content"] == expected.text
    assert choice["finish_reason"] == expected.finish_reason
    assert body["usage"]["completion_tokens"] == expected.tokens
    assert body["usage"]["prompt_tokens"] == expected.prompt_tokens
    assert body["usage"]["completion_tokens_details"]["control_tokens"] == 2 * expected.forks


@pytest.mark.parametrize("fields", [GREEDY, SAMPLED, {**SAMPLED, "stop": ["ab", "cc"]}, {**SAMPLED, "n": 3}])
@pytest.mark.parametrize("word", ["a", "bc", "cac"])
def test_streamed_text_is_the_whole_text(site: Site, word: str, fields: dict[str, Any]) -> None:
    whole = site.chat(word, **fields).json()
    told = site.told(word, **fields)
    assert told.done
    assert len(whole["choices"]) == fields.get("n", 1)
    for choice in whole["choices"]:
        assert told.text(choice["index"]) == choice["message"]["content"]
        assert told.reason(choice["index"]) == choice["finish_reason"]


def test_what_stop_texts_leave_out_is_counted_apart(site: Site) -> None:
    whole = site.chat("a", **SAMPLED).json()
    stop = whole["choices"][0]["message"]["content"][5:7]
    cut = site.chat("a", **SAMPLED, stop=stop).json()
    text = cut["choices"][0]["message"]["content"]
    assert text == whole["choices"][0]["message"]["content"].partition(stop)[0]
    assert cut["choices"][0]["finish_reason"] == "stop"
    assert cut["usage"]["completion_tokens"] < whole["usage"]["completion_tokens"]
    assert cut["usage"]["completion_tokens_details"]["discarded_tokens"] > 0


@pytest.mark.parametrize("stop", [[], ["ab"], ["cc", "b8"]])
@pytest.mark.parametrize("word", ["a", "bc", "cac"])
def test_streamed_log_probabilities_are_those_of_the_whole_answer(site: Site, word: str, stop: list[str]) -> None:
    fields = {**SAMPLED, "stop": stop, "logprobs": True, "top_logprobs": 2}
    whole = site.chat(word, **fields).json()
    ChatCompletion.model_validate(whole)
    [choice] = whole["choices"]
    told = site.told(word, **fields)
    streamed = [each for part in told.choices(0) for each in (part["logprobs"] or {}).get("content", ())]
    assert streamed == choice["logprobs"]["content"]
    assert len(streamed) == whole["usage"]["completion_tokens"]
    text = choice["message"]["content"]
    assert "".join(each["token"] for each in streamed)[: len(text)] == text
    assert all(len(each["top_logprobs"]) == 2 for each in streamed)


def test_completions_go_on_from_texts_and_from_token_ids(site: Site, llm: LLM) -> None:
    ids = llm.tokenizer.encode("abc", add_special_tokens=False)
    by_text = site.complete("abc", **GREEDY).json()
    by_ids = site.complete(ids, **GREEDY).json()
    Completion.model_validate(by_text)
    assert by_text["choices"] == by_ids["choices"]
    [expected] = llm.generate(["abc"], SamplingParams(max_tokens=60))  # this template adds nothing
    assert by_text["choices"][0]["text"] == expected.text


def test_several_prompts_are_answered_in_their_order_and_each_counts_once(site: Site) -> None:
    fields = {**SAMPLED, "n": 2, "logprobs": 1}
    body = site.complete(["a", "bc"], **fields).json()
    Completion.model_validate(body)
    alone = [site.complete(prompt, **fields).json() for prompt in ("a", "bc")]
    texts = [choice["text"] for each in alone for choice in each["choices"]]
    assert [choice["text"] for choice in body["choices"]] == texts
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2, 3]
    assert body["usage"]["prompt_tokens"] == sum(each["usage"]["prompt_tokens"] for each in alone)
    streamed = Told.of(site.complete(["a", "bc"], **fields, stream=True).text)
    assert [streamed.text(index) for index in range(4)] == texts
    offsets = [offset for part in streamed.choices(3) for offset in (part["logprobs"] or {}).get("text_offset", ())]
    assert offsets == body["choices"][3]["logprobs"]["text_offset"]


@pytest.mark.parametrize("stop", [[], ["ab"], ["cc", "b8"], ["aX", "bX", "cX"]])
def test_offsets_are_where_tokens_begin_in_the_text_whole_and_streamed(site: Site, stop: list[str]) -> None:
    fields = {**SAMPLED, "stop": stop, "logprobs": 1}
    [whole] = site.complete("a", **fields).json()["choices"]
    told = Told.of(site.complete("a", **fields, stream=True).text)
    streamed = [offset for part in told.choices(0) for offset in (part["logprobs"] or {}).get("text_offset", ())]
    assert streamed == whole["logprobs"]["text_offset"]
    for token, offset in zip(whole["logprobs"]["tokens"], streamed, strict=True):
        assert token.startswith(whole["text"][offset : offset + len(token)])


@pytest.mark.parametrize("fields", [GREEDY, {**SAMPLED, "n": 2}])
def test_the_tree_can_be_rebuilt_from_the_chunks_alone(site: Site, fields: dict[str, Any]) -> None:
    told = site.told("bc", **fields, apar={"stream": "threads"})
    for index in range(fields.get("n", 1)):
        events = events_of(told, index)
        tree = tree_of(events)
        assert tree.text == told.text(index)
        assert tree.num_forks > 0


def test_events_are_told_when_they_happen_and_text_when_it_may_be_read(site: Site, llm: LLM) -> None:
    told = site.told("bc", **GREEDY, apar={"stream": "threads"})
    assert events_of(told) == list(llm.stream("bc", SamplingParams(max_tokens=60)))
    silent = [chunk for chunk in told.chunks if "apar" in chunk and not chunk["choices"][0]["delta"]["content"]]
    assert silent, "later threads are heard of before they can be read"
    plain = site.told("bc", **GREEDY)
    assert not any("apar" in chunk for chunk in plain.chunks)


def test_usage_and_figures_come_where_they_are_asked_for(site: Site) -> None:
    plain = site.told("a", **GREEDY)
    assert not any("usage" in chunk or "metrics" in chunk for chunk in plain.chunks)
    told = site.told("a", **GREEDY, stream_options={"include_usage": True}, apar={"metrics": True})
    *chunks, last = told.chunks
    assert all(chunk["usage"] is None for chunk in chunks)
    assert last["choices"] == []
    whole = site.chat("a", **GREEDY, apar={"metrics": True}).json()
    assert last["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"]
    ChatCompletion.model_validate(whole)
    figures, streamed = whole["metrics"]["parallel"], last["metrics"]["parallel"]
    assert figures["mode"] == "forked"
    assert figures["threads"] == figures["forks"] + 1 > 1
    for name in ("threads", "forks", "steps", "critical_path", "tokens_per_step"):
        assert streamed[name] == figures[name]


def test_forking_can_be_switched_off_and_bounded(site: Site, llm: LLM) -> None:
    sequential = site.chat("bc", **GREEDY, apar={"fork": False, "metrics": True}).json()
    [expected] = llm.generate(["bc"], SamplingParams(max_tokens=60, fork=False))
    assert sequential["choices"][0]["message"]["content"] == expected.text
    assert sequential["metrics"]["parallel"]["mode"] == "unforked"
    assert sequential["metrics"]["parallel"]["threads"] == 1
    two = site.chat("bc", **GREEDY, apar={"max_threads": 2, "metrics": True}).json()
    assert two["metrics"]["parallel"]["threads"] == 2


def test_the_same_seed_gives_the_same_answer_and_seeds_may_be_negative(site: Site) -> None:
    texts = [site.chat("a", **{**SAMPLED, "seed": seed}).json()["choices"] for seed in (5, 5, 6, -6)]
    assert texts[0] == texts[1] != texts[2]
    assert texts[2] != texts[3]


def test_messages_may_come_in_parts_and_the_developer_is_the_system(site: Site) -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "bc"}]
    by_parts = site.chat(messages=[{"role": "developer", "content": "b"}, {"role": "user", "content": parts}], **GREEDY)
    at_once = site.chat(messages=[{"role": "system", "content": "b"}, {"role": "user", "content": "abc"}], **GREEDY)
    assert by_parts.json()["choices"] == at_once.json()["choices"]


def test_fields_that_ask_for_nothing_change_nothing(site: Site) -> None:
    nothing: dict[str, Any] = {
        "tools": [], "tool_choice": "none", "response_format": {"type": "text"}, "store": False, "metadata": None,
        "logit_bias": None, "service_tier": "auto", "modalities": ["text"], "stop": None, "top_logprobs": None,
    }  # fmt: skip
    assert site.chat("a", **GREEDY, **nothing).json()["choices"] == site.chat("a", **GREEDY).json()["choices"]


def test_the_model_is_listed_with_its_context(site: Site) -> None:
    [model] = site.client.get("/v1/models").json()["data"]
    assert model["id"] == MODEL
    assert model["max_model_len"] == 128
    assert site.client.get(f"/v1/models/{MODEL}").json() == model
    assert site.client.get("/v1/models/other/one").json()["error"]["code"] == "model_not_found"
    assert site.client.get("/version").json()["model"] == MODEL
