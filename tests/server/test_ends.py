"""Ways for a request to end before its answer is complete: the client, the clock, the crowd, the engine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from apar.engine.async_llm import AsyncLLM
from apar.errors import ModelError
from tests.engine.crowd import Crowd
from tests.server.serving import MODEL, Site, Told, serving, wait_for

LONG: dict[str, Any] = {"temperature": 0, "max_tokens": 100}


@pytest.fixture
def held() -> Iterator[tuple[Crowd, Site]]:
    with Crowd(held=True) as crowd, serving(lambda: crowd.llm, max_open=2) as site:
        wait_for(lambda: site.health.status == "ok", "loaded")
        yield crowd, site
        crowd.let()


def streaming(site: Site, **fields: Any) -> Any:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "a"}], "stream": True, **LONG, **fields}
    return site.client.stream("POST", "/v1/chat/completions", json=body)


def test_a_client_that_leaves_a_stream_frees_the_blocks_of_all_threads(held: tuple[Crowd, Site]) -> None:
    crowd, site = held
    with streaming(site) as response:
        lines = response.iter_lines()
        crowd.let(6)
        while "content" not in next(lines):
            pass
        wait_for(lambda: crowd.blocks_held > 0, "the answer has blocks")
    wait_for(lambda: site.metric("apar_answers_open") == 0, "the place is free")
    crowd.let()
    wait_for(lambda: crowd.blocks_held == 0, "its blocks are free")
    assert site.metric("apar_answers_cancelled_total") == 1
    assert site.metric("apar_engine_cancelled_total") == 1


def test_a_client_that_leaves_before_its_whole_answer_came_frees_it_too(held: tuple[Crowd, Site]) -> None:
    crowd, site = held
    body = {"model": MODEL, "messages": [{"role": "user", "content": "a"}], **LONG, "n": 2}
    with pytest.raises(httpx.ReadTimeout):
        site.client.post("/v1/chat/completions", json=body, timeout=0.3)
    wait_for(lambda: site.metric("apar_answers_open") == 0, "the places are free")
    crowd.let()
    wait_for(lambda: crowd.blocks_held == 0, "their blocks are free")
    assert site.metric("apar_answers_cancelled_total") == 2


def test_each_answer_of_a_request_is_counted_once_whatever_becomes_of_it() -> None:
    with Crowd(held=True) as crowd, serving(lambda: crowd.llm) as site:
        wait_for(lambda: site.health.status == "ok", "loaded")
        with streaming(site, n=3) as response:
            next(response.iter_lines())
        wait_for(lambda: site.metric("apar_answers_open") == 0, "the places are free")
        assert site.metric("apar_answers_cancelled_total") == 3
        crowd.let()
        assert site.chat("a", **LONG, n=2).status_code == 200
        assert Told.of(site.chat("a", **LONG, n=2, stream=True).text).done
        assert site.metric("apar_answers_total") == 4
        assert site.metric("apar_answers_cancelled_total") == 3
        assert site.metric("apar_answers_failed_total") == 0


def test_a_request_of_which_one_prompt_is_wrong_begins_nothing(held: tuple[Crowd, Site]) -> None:
    _, site = held
    for stream in (True, False):
        refused = site.complete([[5, 6], [999]], stream=stream, max_tokens=100)
        assert refused.status_code == 400
    assert site.metric("apar_engine_requests") == 0
    assert site.metric("apar_answers_open") == 0


def test_one_answer_too_many_is_told_when_to_come_again(held: tuple[Crowd, Site]) -> None:
    crowd, site = held
    with streaming(site), streaming(site):
        wait_for(lambda: site.metric("apar_answers_open") == 2, "both are open")
        refused = site.chat("a", **LONG)
        assert refused.status_code == 429
        assert refused.json()["error"]["code"] == "busy"
        assert int(refused.headers["retry-after"]) >= 1
    too_many = site.chat("a", **LONG, n=3)
    assert too_many.status_code == 400, "it will never fit: nobody should come again with it"
    assert "at most 2" in too_many.json()["error"]["message"]
    crowd.let()
    wait_for(lambda: site.metric("apar_answers_open") == 0, "the places are free")
    assert site.chat("a", **LONG).status_code == 200
    assert site.metric("apar_requests_refused_total") == 2


def test_other_requests_are_answered_while_the_engine_works(held: tuple[Crowd, Site]) -> None:
    crowd, site = held
    with streaming(site):
        assert site.client.get("/health").json() == {"status": "ok"}
        assert site.client.get("/v1/models").status_code == 200
        crowd.let()


def test_in_silence_the_stream_pings_and_the_text_is_the_same() -> None:
    with Crowd(held=True) as crowd, serving(lambda: crowd.llm, ping_seconds=0.05) as site:
        wait_for(lambda: site.health.status == "ok", "loaded")
        timer = threading.Timer(0.5, crowd.let)
        timer.start()
        told = site.told("a", **LONG)
        assert told.pings >= 3
        assert told.text() == site.chat("a", **LONG).json()["choices"][0]["message"]["content"]
        timer.join()


def test_an_answer_that_takes_too_long_is_cancelled_and_said_so() -> None:
    with Crowd(held=True) as crowd, serving(lambda: crowd.llm, request_seconds=0.2) as site:
        wait_for(lambda: site.health.status == "ok", "loaded")
        whole = site.chat("a", **LONG)
        assert (whole.status_code, whole.json()["error"]["code"]) == (504, "timeout")
        told = site.told("a", **LONG)
        assert told.chunks[-1]["error"]["code"] == "timeout"
        assert not told.done
        crowd.let()
        wait_for(lambda: crowd.blocks_held == 0 and site.metric("apar_engine_requests") == 0, "nothing is left")


def test_an_engine_that_fails_at_an_answer_tells_clients_nothing_of_its_inside() -> None:
    with Crowd() as crowd, serving(lambda: crowd.llm) as site:
        wait_for(lambda: site.health.status == "ok", "loaded")

        def spoilt(work: object, guess: bool = False) -> object:
            raise ValueError("a secret of the machine")

        run, crowd.engine._runner.run = crowd.engine._runner.run, spoilt  # type: ignore[method-assign,assignment]
        whole = site.chat("a", **LONG)
        assert whole.status_code == 500
        assert whole.json()["error"]["code"] == "engine_failed"
        told = Told.of(site.chat("a", **LONG, stream=True).text)
        assert told.chunks[-1]["error"]["code"] == "engine_failed"
        assert not told.done
        assert "secret" not in whole.text + json.dumps(told.chunks)
        assert site.metric("apar_answers_failed_total") == 2
        crowd.engine._runner.run = run  # type: ignore[method-assign]
        assert site.chat("a", **LONG).status_code == 200


def test_while_the_model_is_loaded_requests_are_asked_to_come_again() -> None:
    loaded = threading.Event()
    with Crowd() as crowd:

        def load() -> AsyncLLM:
            loaded.wait(30)
            return crowd.llm

        with serving(load) as site:
            health = site.client.get("/health")
            assert (health.status_code, health.json()["status"]) == (503, "loading")
            for response in (site.chat("a"), site.complete("a"), site.client.get("/v1/models")):
                assert response.status_code == 503
                assert int(response.headers["retry-after"]) >= 1
            loaded.set()
            wait_for(lambda: site.client.get("/health").status_code == 200, "loaded")
            assert site.chat("a", **LONG).status_code == 200


def test_a_model_that_cannot_be_loaded_is_reported_as_failed() -> None:
    def load() -> AsyncLLM:
        raise ModelError("there is no such model")

    with serving(load) as site:
        wait_for(lambda: site.health.status == "failed", "it failed")
        assert isinstance(site.health.error, ModelError)


def test_a_dead_engine_makes_the_server_fail() -> None:
    with Crowd() as crowd, serving(lambda: crowd.llm) as site:
        wait_for(lambda: site.health.status == "ok", "loaded")

        def dies() -> None:
            raise MemoryError("no more")

        crowd.engine.step = dies  # type: ignore[method-assign]
        assert site.chat("a", **LONG).status_code == 500
        wait_for(lambda: site.health.status == "failed", "it is seen")
