"""vLLM's own OpenAI server with forks in its core: to a client an answer is one ordinary text."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from apar.decoding.params import SamplingParams
from tests.backends.vllm.serving import serving
from tests.backends.vllm.tiny import CONTEXT, control, forking_model, texts
from tests.oracle import Oracle

PROMPT = [5, 9, 12]
KEY = "secret"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("model")
    return folder, forking_model(folder, fork=14.0, eos=-2.0)


@pytest.fixture(scope="module")
def client(model: tuple[Path, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    options = ["--api-key", KEY, "--dtype", "float32", "--served-model-name", "tiny", "--vllm.enforce-eager"]
    options += ["--vllm.max-model-len", str(CONTEXT), "--vllm.num-gpu-blocks-override=100"]
    options += ["--vllm.gpu_memory_utilization", "0.1"]
    log = tmp_path_factory.mktemp("server") / "log"
    with (
        serving(model[0], log, *options) as url,
        httpx.Client(base_url=url, headers={"Authorization": f"Bearer {KEY}"}, timeout=60) as one,
    ):
        yield one


def _ask(client: httpx.Client, **fields: Any) -> dict[str, Any]:
    body = {"model": "tiny", "prompt": PROMPT, "max_tokens": 60, "temperature": 0, **fields}
    response = client.post("/v1/completions", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def _oracle(model: tuple[Path, Any], **limits: Any) -> Oracle:
    oracle = Oracle(
        model[1], texts(), control(), CONTEXT, PROMPT, SamplingParams(**{"max_tokens": 60, "seed": 0, **limits})
    )
    oracle.run()
    return oracle


def test_an_answer_is_the_oracles_text(client: httpx.Client, model: tuple[Path, Any]) -> None:
    oracle = _oracle(model)
    assert len(oracle.threads) > 3
    answer = _ask(client)
    assert answer["choices"][0]["text"] == oracle.text
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 60


def test_pieces_come_in_reading_order_and_are_only_appended(client: httpx.Client, model: tuple[Path, Any]) -> None:
    body = {"model": "tiny", "prompt": PROMPT, "max_tokens": 60, "temperature": 0, "stream": True}
    with client.stream("POST", "/v1/completions", json=body) as response:
        lines = [line.removeprefix("data: ") for line in response.iter_lines() if line.startswith("data: {")]
    pieces = [json.loads(line)["choices"][0]["text"] for line in lines]
    assert "".join(pieces) == _oracle(model).text
    assert len(pieces) > 5


def test_a_stop_string_ends_the_answer_across_threads(client: httpx.Client, model: tuple[Path, Any]) -> None:
    whole = _oracle(model).text
    stop = whole[len(whole) // 2 :][:3]
    answer = _ask(client, stop=[stop])
    assert answer["choices"][0]["text"] == whole[: whole.index(stop)]
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_log_probabilities_are_told_for_every_token(client: httpx.Client) -> None:
    found = _ask(client, logprobs=2)["choices"][0]["logprobs"]
    assert len(found["token_logprobs"]) == 60
    assert all(value is not None and value <= 0 for value in found["token_logprobs"])
    assert "".join(found["tokens"]) == _ask(client)["choices"][0]["text"]


def test_several_choices_fork_each_for_itself(client: httpx.Client) -> None:
    choices = _ask(client, n=3, temperature=1.0, seed=1)["choices"]
    assert len({choice["text"] for choice in choices}) == 3
    again = _ask(client, n=3, temperature=1.0, seed=1)["choices"]
    assert [choice["text"] for choice in again] == [choice["text"] for choice in choices]


def test_limits_of_a_request_are_heeded(client: httpx.Client, model: tuple[Path, Any]) -> None:
    for limits in ({"max_threads": 2}, {"max_depth": 2}):
        extra = {f"apar_{name}": value for name, value in limits.items()}
        assert _ask(client, vllm_xargs=extra)["choices"][0]["text"] == _oracle(model, **limits).text
    assert _ask(client, vllm_xargs={"apar_fork": 0})["choices"][0]["text"] == _oracle(model, fork=False).text


def test_an_unknown_option_is_an_error_of_that_request(client: httpx.Client) -> None:
    body = {"model": "tiny", "prompt": PROMPT, "max_tokens": 5, "vllm_xargs": {"apar_forks": 1}}
    assert client.post("/v1/completions", json=body).status_code == 500
    assert _ask(client)["usage"]["completion_tokens"] == 60


def test_a_disconnect_ends_all_threads(client: httpx.Client) -> None:
    body = {"model": "tiny", "prompt": PROMPT, "max_tokens": 110, "temperature": 0, "stream": True}
    for _ in range(5):
        with client.stream("POST", "/v1/completions", json=body) as response:
            next(response.iter_lines())
    deadline = time.monotonic() + 20
    while _running(client) and time.monotonic() < deadline:
        _ask(client, max_tokens=4)
    assert _running(client) == 0


def _running(client: httpx.Client) -> float:
    lines = client.get("/metrics").text.splitlines()
    names = ("vllm:num_requests_running{", "vllm:num_requests_waiting{", "vllm:kv_cache_usage_perc{")
    found = [float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(names)]
    assert len(found) == 3
    return sum(found)


def test_a_key_is_asked_for(client: httpx.Client) -> None:
    wrong = {"Authorization": "Bearer wrong"}
    assert client.post("/v1/completions", json={"model": "tiny"}, headers=wrong).status_code == 401


def test_a_client_that_forks_by_itself_gets_its_threads_alone(client: httpx.Client, model: tuple[Path, Any]) -> None:
    from apar import VllmServerBackend
    from apar.backends.sync import SyncBackend
    from apar.decoding.requests import Request

    with SyncBackend(lambda: VllmServerBackend(model[0], str(client.base_url), api_key=KEY)) as engine:
        backend: Any = engine.backend

        async def ask() -> Any:
            stream = backend._stream(Request(PROMPT, SamplingParams(max_tokens=60, seed=0)))
            return [event async for event in stream]

        assert engine._do(ask()) == _oracle(model).events
