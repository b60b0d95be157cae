"""Our own server over a real vLLM: the same API, whichever engine decodes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apar.backends.vllm.engine import VllmBackend
from apar.decoding.params import SamplingParams
from apar.engine.llm import LLM
from tests.backends.vllm.tiny import CONTEXT, forking_model
from tests.server.serving import Site, serving, wait_for

GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 60}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    forking_model(folder, fork=14.0, eos=-2.0)
    return folder


@pytest.fixture(scope="module")
def backend() -> list[VllmBackend]:
    """The backend behind the server, once it is loaded."""
    return []


@pytest.fixture(scope="module")
def site(model: Path, backend: list[VllmBackend]) -> Iterator[Site]:
    def load() -> VllmBackend:
        made = VllmBackend(model, dtype="float32", enforce_eager=True, max_model_len=CONTEXT, max_num_seqs=16)
        backend.append(made)
        return made

    with serving(load) as site:
        wait_for(lambda: site.health.status != "loading", "loaded", seconds=180)
        assert site.health.status == "ok", site.health.error
        yield site


@pytest.mark.parametrize("word", ["a", "bc"])
def test_an_answer_is_that_of_our_own_engine_whole_and_streamed(site: Site, model: Path, word: str) -> None:
    llm = LLM(model, num_blocks=100)
    for fork in (True, False):
        [expected] = llm.generate([word], SamplingParams(max_tokens=60, fork=fork))
        fields = {**GREEDY, "apar": {"fork": fork}}
        whole = site.chat(word, **fields).json()
        assert whole["choices"][0]["message"]["content"] == expected.text
        assert whole["usage"]["completion_tokens"] == expected.tokens
        assert whole["usage"]["completion_tokens_details"]["control_tokens"] == 2 * expected.forks
        assert site.told(word, **fields).text() == expected.text


def test_several_answers_are_streamed_side_by_side(site: Site) -> None:
    fields = {"temperature": 1.0, "seed": 3, "max_tokens": 40, "n": 3}
    told = site.told("a", **fields, stream_options={"include_usage": True})
    assert told.done
    texts = [told.text(index) for index in range(3)]
    assert len(set(texts)) > 1
    assert {told.reason(index) for index in range(3)} <= {"stop", "length"}
    assert told.chunks[-1]["usage"]["completion_tokens"] > 0


def test_what_vllm_does_not_do_is_refused_with_the_reason(site: Site) -> None:
    refused = site.chat("a", **GREEDY, presence_penalty=1.0)
    assert refused.status_code == 400
    assert "penalt" in refused.json()["error"]["message"]


def test_a_client_that_leaves_ends_its_answer_in_vllm(site: Site, backend: list[VllmBackend]) -> None:
    cancelled = site.metric("apar_answers_cancelled_total")
    processor: Any = backend[0]._engine.output_processor
    body = {"model": "tiny", "messages": [{"role": "user", "content": "a"}], "stream": True, "max_tokens": 100_000}
    # Nothing but leaving ends these answers soon: their threads say no end-of-sequence.
    body["logit_bias"] = {"0": -100}
    # On a busy machine an answer may be complete before its client has left.
    for _ in range(5):
        with site.client.stream("POST", "/v1/chat/completions", json=body) as response:
            next(response.iter_lines())
            wait_for(
                lambda: processor.has_unfinished_requests() or site.metric("apar_answers_open") == 0,
                "vLLM works at it, or has finished",
            )
        wait_for(lambda: site.metric("apar_answers_open") == 0, "the place is free")
        wait_for(lambda: not processor.has_unfinished_requests(), "vLLM has nothing to do")
        if site.metric("apar_answers_cancelled_total") == cancelled + 1:
            return
    raise AssertionError("no answer was cancelled by its client's leaving")
