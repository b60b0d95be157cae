"""What /metrics tells after real requests is what their answers told their clients."""

from __future__ import annotations

import threading
from typing import Any

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from apar.backends.backend import Backend
from tests.engine.crowd import PATIENCE, Crowd
from tests.engine.drafts.known import guess_everything
from tests.server.serving import MODEL, Site, serving, wait_for

GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 60}
SEQUENTIAL = {"apar": {"fork": False}}


def ready(site: Site) -> None:
    wait_for(lambda: site.health.status == "ok", "loaded")


def test_tokens_are_those_of_the_usage_whole_or_streamed() -> None:
    with Crowd() as crowd, serving(lambda: crowd.llm) as site:
        ready(site)
        answers = [site.chat("a", **GREEDY, n=2).json(), site.complete("bc", **GREEDY, **SEQUENTIAL).json()]
        told = site.told("d", **GREEDY, stream_options={"include_usage": True})
        usages = [*(answer["usage"] for answer in answers), told.chunks[-1]["usage"]]
        details = [usage["completion_tokens_details"] for usage in usages]
        sums = {
            "prompt": sum(usage["prompt_tokens"] for usage in usages),
            "cached": sum(usage["prompt_tokens_details"]["cached_tokens"] for usage in usages),
            "visible": sum(usage["completion_tokens"] for usage in usages),
            "control": sum(each["control_tokens"] for each in details),
            "discarded": sum(each["discarded_tokens"] for each in details),
        }
        assert sums["control"] > 0
        assert {kind: site.metric(f"apar_{kind}_tokens_total") for kind in sums} == sums
        assert site.metric("apar_answers_total") == site.metric("apar_engine_finished_total") == 4
        assert site.metric("apar_answer_seconds_count") == 4
        assert site.metric("apar_answers_open") == 0


def test_requests_are_counted_by_what_became_of_them() -> None:
    with Crowd() as crowd, serving(lambda: crowd.llm, key="secret") as site:
        ready(site)
        assert site.chat("a").status_code == 401
        site.client.headers["authorization"] = "Bearer secret"
        assert site.chat("a", **GREEDY).status_code == 200
        assert site.chat("a", temprature=1).status_code == 400
        assert site.client.post("/v1/completions", content=b"{").status_code == 415
        assert site.client.get("/nothing").status_code == 404
        assert site.client.get(f"/v1/models/{MODEL}").status_code == 200
        text = site.client.get("/metrics").text
        for line in (
            'requests_total{endpoint="/v1/chat/completions",status="200"} 1.0',
            'requests_total{endpoint="/v1/chat/completions",status="401"} 1.0',
            'requests_total{endpoint="/v1/completions",status="415"} 1.0',
            'requests_total{endpoint="/v1/models",status="200"} 1.0',
            'requests_total{endpoint="other",status="404"} 1.0',
            'requests_refused_total{reason="key"} 1.0',
            'requests_refused_total{reason="request"} 1.0',
            'requests_refused_total{reason="type"} 1.0',
            'requests_refused_total{reason="path"} 0.0',
        ):
            assert f"apar_{line}\n" in text


def test_what_prometheus_asks_for_is_valid_openmetrics() -> None:
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
    with Crowd() as crowd, serving(lambda: crowd.llm) as site:
        ready(site)
        site.chat("a", **GREEDY)
        response = site.client.get("/metrics", headers={"accept": accept})
        assert response.headers["content-type"].startswith("application/openmetrics-text")
        told = {family.name for family in parse_openmetrics(response.text)}
        assert {"apar_answers", "apar_engine_blocks", "process_cpu_seconds"} <= told


def test_while_the_model_is_loaded_there_are_figures_without_an_engine() -> None:
    there = threading.Event()
    with Crowd() as crowd:

        def load() -> Backend:
            assert there.wait(PATIENCE)
            return crowd.llm

        with serving(load) as site:
            assert site.chat("a").status_code == 503
            text = site.client.get("/metrics").text
            assert 'apar_requests_refused_total{reason="unready"} 1.0\n' in text
            assert "apar_engine_" not in text
            there.set()
            ready(site)
            assert site.metric("apar_engine_blocks") == 400


THREADS: dict[str, Any] = {"apar": {"stream": "threads"}, "stream_options": {"include_usage": True}}


def drafts_of(usage: dict[str, Any]) -> tuple[int | None, int | None]:
    details = usage["completion_tokens_details"]
    return details.get("accepted_prediction_tokens"), details.get("rejected_prediction_tokens")


def test_drafts_are_those_of_the_usage_the_metrics_and_the_threads() -> None:
    with Crowd() as crowd, serving(lambda: crowd.llm) as site:
        ready(site)
        plain = site.chat("a", **GREEDY, apar={"metrics": True}).json()
        guess_everything(crowd.engine)
        off = site.chat("a", **GREEDY, apar={"metrics": True, "drafts": False}).json()
        assert site.metric("apar_draft_tokens_total") == 0
        whole = site.chat("a", **GREEDY, apar={"metrics": True}, n=2).json()
        told = site.told("a", **GREEDY, **THREADS)
        both = site.metric("apar_accepted_tokens_total"), site.metric("apar_draft_tokens_total")
    figures = whole["metrics"]["parallel"]
    accepted, rejected = drafts_of(whole["usage"])
    assert ([accepted], [accepted + rejected]) == (figures["accepted"], figures["drafted"])
    assert accepted > 0 < rejected
    assert figures["tokens_per_pass"] == 2 * 60 / figures["forward_passes"]
    ends = [event for chunk in told.chunks for event in (chunk.get("apar") or {"events": ()})["events"]]
    each = [sum(event.get(name, 0) for event in ends) for name in ("accepted", "drafted")]
    streamed_accepted, streamed_rejected = drafts_of(told.chunks[-1]["usage"])
    assert each == [streamed_accepted, streamed_accepted + streamed_rejected]
    assert both == (accepted + streamed_accepted, accepted + rejected + each[1])
    texts = [answer["choices"][0]["message"]["content"] for answer in (plain, off, whole)]
    assert {*texts, told.text()} == {texts[0]}
    for without in (plain, off):
        assert drafts_of(without["usage"]) == (None, None)
        assert (without["metrics"]["parallel"]["drafted"], without["metrics"]["parallel"]["accepted"]) == ([], [])
