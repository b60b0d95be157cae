"""What forks an answer is chosen by the server and by each request; answers that rules fork are those of the engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from apar.assemble import Assembler, Recording
from apar.backends.backend import Backend
from apar.client.chat import ChatClient
from apar.decoding.params import RawPrompt, SamplingParams
from apar.engine.llm import LLM
from apar.events import Delta, Event, Finished
from apar.server.forking import Forking
from apar.server.protocol.answers import ChatCompletion, Completion
from tests.engine.crowd import Crowd
from tests.engine.lists import list_backend, list_llm
from tests.server.routes.test_api import events_of
from tests.server.serving import Site, serving, wait_for

RULES: dict[str, Any] = {"fork": "rules", "metrics": True}
GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 80}
SAMPLED: dict[str, Any] = {"temperature": 1, "max_tokens": 80, "seed": 3}
PROMPTS = ["Tips", "Rest Walk", "Eat"]
BY_RULES = SamplingParams(max_tokens=80, fork_by="rules")


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A model that was not trained to fork, served as by default."""
    with serving(list_backend) as site:
        ready(site)
        yield site


@pytest.fixture(scope="module")
def llm() -> LLM:
    """The same model, asked without a server."""
    return list_llm()


def ready(site: Site) -> None:
    wait_for(lambda: site.health.status == "ok", "loaded")


def parallel(body: dict[str, Any]) -> dict[str, Any]:
    figures = body["metrics"]["parallel"]
    assert isinstance(figures, dict)
    return figures


@pytest.mark.parametrize("prompt", PROMPTS)
def test_an_answer_that_rules_fork_is_that_of_the_engine(site: Site, llm: LLM, prompt: str) -> None:
    [expected] = llm.generate([prompt], BY_RULES)
    assert expected.forks > 0
    body = site.chat(prompt, **GREEDY, apar=RULES).json()
    ChatCompletion.model_validate(body)
    assert body["choices"][0]["message"]["content"] == expected.text
    figures, details = parallel(body), body["usage"]["completion_tokens_details"]
    assert (figures["mode"], figures["fork"], figures["forks"]) == ("forked", "rules", expected.forks)
    assert figures["not_forked"] == details.get("not_forked", {}) == expected.not_forked
    assert details["control_tokens"] == 0
    assert details["discarded_tokens"] == expected.decoded - expected.tokens


def test_completions_fork_by_rules_each_prompt_and_each_choice(site: Site, llm: LLM) -> None:
    body = site.complete(PROMPTS, **SAMPLED, n=2, apar=RULES).json()
    Completion.model_validate(body)
    params = replace(BY_RULES, temperature=1.0, seed=3, n=2)
    expected = llm.generate([RawPrompt(prompt) for prompt in PROMPTS], params)
    assert [choice["text"] for choice in body["choices"]] == [answer.text for answer in expected]
    assert parallel(body)["forks"] == sum(answer.forks for answer in expected) > 0
    counts = sum((Counter(answer.not_forked) for answer in expected), Counter[str]())
    assert parallel(body)["not_forked"] == body["usage"]["completion_tokens_details"]["not_forked"] == counts


@pytest.mark.parametrize("fields", [GREEDY, SAMPLED, {**SAMPLED, "stop": ["Walk"]}, {**SAMPLED, "n": 3}])
@pytest.mark.parametrize("prompt", PROMPTS)
def test_streamed_text_is_the_whole_text(site: Site, prompt: str, fields: dict[str, Any]) -> None:
    whole = site.chat(prompt, **fields, apar=RULES).json()
    told = site.told(prompt, **fields, apar={**RULES, "stream": "threads"}, stream_options={"include_usage": True})
    for choice in whole["choices"]:
        assert told.text(choice["index"]) == choice["message"]["content"]
        assert told.reason(choice["index"]) == choice["finish_reason"]
    assert told.chunks[-1]["usage"] == whole["usage"]
    assert parallel(told.chunks[-1])["not_forked"] == parallel(whole)["not_forked"]


@pytest.mark.parametrize("seed", range(6))
def test_the_events_of_threads_that_were_rewritten_make_the_answer(site: Site, llm: LLM, seed: int) -> None:
    fields = {**SAMPLED, "seed": seed}
    told = site.told("Rest Walk", **fields, apar={**RULES, "stream": "threads"})
    events = events_of(told)
    assert events == list(llm.stream("Rest Walk", replace(BY_RULES, temperature=1.0, seed=seed)))
    Recording.of(events)
    assembler, sent = Assembler(), ""
    for event in events:
        sent += assembler.feed(event)
    assert told.text() == sent + assembler.end()
    tokens = [token for event in events if isinstance(event, Delta) for token in event.token_ids]
    assert all(0 <= token < llm.engine.limits.vocabulary_size for token in tokens)  # type: ignore[operator]


@pytest.mark.parametrize("seed", range(3))
def test_each_thread_tells_why_it_did_not_fork_whole_or_to_a_chat(site: Site, seed: int) -> None:
    fields = {**SAMPLED, "seed": seed}
    told = site.told("Rest Walk", **fields, apar={**RULES, "stream": "threads"})
    streamed = events_of(told)
    ended = [event for event in streamed if isinstance(event, Finished)]
    counts = sum((Counter(event.not_forked) for event in ended), Counter[str]())
    assert counts == parallel(told.chunks[-1])["not_forked"]
    params = replace(BY_RULES, temperature=1.0, seed=seed)
    with ChatClient(str(site.client.base_url), None, None, 30.0, lambda line: None) as client:
        stream = client.stream([{"role": "user", "content": "Rest Walk"}], params)
        events: list[Event] = []
        try:
            while True:
                events.append(next(stream))
        except StopIteration as end:
            figures = end.value
    assert events == streamed
    assert [event.not_forked for event in events if isinstance(event, Finished)] == [e.not_forked for e in ended]
    assert (figures.not_forked, figures.by_rules) == (counts, True)


def test_a_chat_with_a_server_of_rules_forks_by_rules_without_a_word(llm: LLM) -> None:
    with serving(list_backend, forking=Forking("rules")) as site:
        ready(site)
        [expected] = llm.generate(["Rest Walk"], BY_RULES)
        body = site.chat("Rest Walk", **GREEDY, apar={"fork": True, "metrics": True}).json()
        assert parallel(body)["fork"] == "rules"
        assert body["choices"][0]["message"]["content"] == expected.text


@pytest.mark.parametrize("budget", [1, 5, 9, 17, 33])
def test_budgets_hold_with_what_is_forced(site: Site, budget: int) -> None:
    body = site.chat("Rest Walk", temperature=0, max_tokens=budget, apar=RULES).json()
    details = body["usage"]["completion_tokens_details"]
    assert body["usage"]["completion_tokens"] + details["discarded_tokens"] <= budget


def test_a_list_has_as_many_items_as_the_request_allows(site: Site, llm: LLM) -> None:
    texts = {}
    for most in (1, 2, 9):
        [expected] = llm.generate(["Rest Walk"], replace(BY_RULES, max_items=most))
        body = site.chat("Rest Walk", **GREEDY, apar={"fork": "rules", "max_items": most}).json()
        texts[most] = body["choices"][0]["message"]["content"]
        assert texts[most] == expected.text
    assert len(set(texts.values())) > 1


def test_what_is_asked_for_goes_before_what_the_server_was_started_with(llm: LLM) -> None:
    with serving(list_backend, forking=Forking("rules", 1)) as site:
        ready(site)
        told = {
            name: parallel(site.chat("Rest Walk", **GREEDY, apar={"metrics": True, **apar}).json())
            for name, apar in {"server": {}, "off": {"fork": "off"}, "false": {"fork": False}, "auto": {"fork": "auto"}}
            .items()
        }  # fmt: skip
        assert {name: figures["fork"] for name, figures in told.items()} == {
            "server": "rules", "off": "off", "false": "off", "auto": "off"
        }  # fmt: skip
        [limited] = llm.generate(["Rest Walk"], replace(BY_RULES, max_items=1))
        [more] = llm.generate(["Rest Walk"], replace(BY_RULES, max_items=9))
        assert site.chat("Rest Walk", **GREEDY).json()["choices"][0]["message"]["content"] == limited.text
        answer = site.chat("Rest Walk", **GREEDY, apar={"max_items": 9}).json()
        assert answer["choices"][0]["message"]["content"] == more.text != limited.text


def test_by_default_a_model_that_was_not_trained_to_fork_does_not(site: Site) -> None:
    figures = parallel(site.chat("Rest Walk", **GREEDY, apar={"metrics": True}).json())
    assert (figures["mode"], figures["fork"], figures["threads"]) == ("unforked", "off", 1)


def test_a_model_that_was_trained_to_fork_forks_by_itself_or_by_rules() -> None:
    with Crowd() as crowd, serving(lambda: crowd.llm) as site:
        ready(site)
        asked = {"auto": {}, "model": {"fork": True}, "rules": {"fork": "rules"}}
        told = {
            name: parallel(site.chat("a", **GREEDY, apar={"metrics": True, **apar}).json())
            for name, apar in asked.items()
        }
        assert {name: figures["fork"] for name, figures in told.items()} == {
            "auto": "model", "model": "model", "rules": "rules"
        }  # fmt: skip
        assert told["auto"]["forks"] == told["model"]["forks"] > told["rules"]["forks"] == 0


@pytest.mark.parametrize(
    ("apar", "param", "says"),
    [
        ({"fork": "model"}, "model", "was not trained"),
        ({"fork": True}, "model", "was not trained"),
        ({"fork": "form"}, "apar.fork", "'rules'"),
        ({"fork": 1}, "apar.fork", "'rules'"),
        ({"max_items": 3}, "apar.max_items", "set fork to 'rules'"),
        ({"fork": "off", "max_items": 3}, "apar.max_items", "set fork to 'rules'"),
        ({"fork": "rules", "max_items": 0}, "apar.max_items", "greater than or equal to 1"),
    ],
)
def test_what_does_not_fit_is_refused(site: Site, apar: dict[str, Any], param: str, says: str) -> None:
    response = site.chat("Tips", apar=apar)
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["param"] == param
    assert says in error["message"]


def without_rules() -> Backend:
    backend = list_backend()
    backend._limits = replace(backend.limits, by_rules=False)
    return backend


def test_a_backend_that_cannot_fork_by_rules_refuses_it() -> None:
    with serving(without_rules) as site:
        ready(site)
        error = site.chat("Tips", apar={"fork": "rules"}).json()["error"]
        assert (error["param"], error["code"]) == ("apar.fork", "unsupported_field")
        assert "cannot fork by the form of the text" in error["message"]
        assert site.chat("Tips", **GREEDY).status_code == 200


def test_an_answer_that_its_client_leaves_holds_no_block(site: Site) -> None:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "Rest Walk"}], "stream": True, "apar": RULES}
    with site.client.stream("POST", "/v1/chat/completions", json={**body, "temperature": 0}) as response:
        next(response.iter_bytes())
    wait_for(lambda: site.metric("apar_answers_open") == 0, "no answer is open")
    held = 'apar_engine_blocks{state="held"} 0.0'
    wait_for(lambda: held in site.client.get("/metrics").text, "no block is held")


def test_metrics_count_answers_by_what_forks_and_leads_by_why_they_did_not() -> None:
    with serving(list_backend) as site:
        ready(site)
        bodies = [site.chat("Rest Walk", **{**SAMPLED, "seed": seed}, apar=RULES).json() for seed in range(4)]
        site.chat("Tips", **GREEDY)
        text = site.client.get("/metrics").text
    counts = sum((Counter(parallel(body)["not_forked"]) for body in bodies), Counter[str]())
    assert counts
    for why in ("limits", "tokens", "counting", "prose"):
        assert f'apar_leads_not_forked_total{{reason="{why}"}} {float(counts[why])}\n' in text
    for forker, count in (("rules", 4.0), ("off", 1.0), ("model", 0.0)):
        assert f'apar_answers_by_fork_total{{fork="{forker}"}} {count}\n' in text


@pytest.mark.parametrize("fields", [GREEDY, SAMPLED, {**SAMPLED, "stop": ["Walk"]}])
@pytest.mark.parametrize("prompt", PROMPTS)
def test_log_probabilities_are_those_of_the_text_whole_or_streamed(
    site: Site, llm: LLM, prompt: str, fields: dict[str, Any]
) -> None:
    chat = site.chat(prompt, **fields, logprobs=True, top_logprobs=2, apar=RULES).json()
    content = chat["choices"][0]["logprobs"]["content"]
    assert len(content) == chat["usage"]["completion_tokens"]
    forced = [entry for entry in content if entry["logprob"] == 0.0]
    assert all(entry["top_logprobs"] == [] for entry in forced)
    assert all(len(entry["top_logprobs"]) == 2 for entry in content if entry not in forced)
    told = site.told(prompt, **fields, logprobs=True, top_logprobs=2, apar=RULES)
    streamed = [entry for choice in told.choices(0) for entry in (choice["logprobs"] or {"content": []})["content"]]
    assert streamed == content
    completed = site.complete(prompt, **fields, logprobs=2, apar=RULES).json()["choices"][0]
    for token, start in zip(completed["logprobs"]["tokens"], completed["logprobs"]["text_offset"], strict=True):
        assert completed["text"][start:].startswith(token.rstrip()) or completed["text"][start:] in token


def test_what_rules_forced_is_in_the_log_probabilities(site: Site) -> None:
    body = site.chat("Rest Walk", **GREEDY, logprobs=True, apar=RULES).json()
    entries = body["choices"][0]["logprobs"]["content"]
    assert any(entry["logprob"] == 0.0 and entry["token"].startswith("\n") for entry in entries)
