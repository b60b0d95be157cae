from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from apar.backends.vllm.engine import VllmBackend
from apar.decoding.params import SamplingParams
from apar.decoding.requests import Request
from apar.errors import RequestError, RunError
from apar.events import Delta, Event, Forked
from apar.tree import ROOT
from tests.backends.vllm.tiny import CONTEXT, control, forking_model, texts
from tests.oracle import Oracle

PROMPTS = [[5, 9, 12], [7], [3, 3, 8, 20, 11, 4], [30, 5], [16, 17, 18, 19] * 4, [21]]
PARAMS = [
    SamplingParams(max_tokens=60, seed=0),
    SamplingParams(max_tokens=25, seed=0, max_threads=3),
    SamplingParams(max_tokens=60, seed=0, stop=("cb", "a7 b")),
    SamplingParams(max_tokens=60, seed=0, max_depth=2),
    SamplingParams(max_tokens=100, seed=0),
    SamplingParams(max_tokens=30, seed=0, fork=False),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("model")
    return folder, forking_model(folder, fork=14.0, eos=-2.0)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


class _Load:
    """What vLLM tells of its schedulers: how many requests run and wait on each rank."""

    running: dict[int, int]

    def __init__(self, vllm_config: Any, engine_index: int = 0) -> None:
        _Load.running = {}

    def record(
        self, scheduler_stats: Any, iteration_stats: Any, mm_cache_stats: Any = None, engine_idx: int = 0
    ) -> None:
        if scheduler_stats is not None:
            _Load.running[engine_idx] = scheduler_stats.num_running_reqs + scheduler_stats.num_waiting_reqs

    def log_engine_initialized(self) -> None: ...

    def log(self) -> None: ...

    def record_sleep_state(self, is_awake: int, level: int) -> None: ...


@pytest.fixture(scope="module", params=["core", "requests"])
def backend(request: pytest.FixtureRequest, model: tuple[Path, Any], loop: asyncio.Runner) -> Iterator[VllmBackend]:
    """A vLLM of two data-parallel ranks, in processes of their own."""

    async def start() -> VllmBackend:
        return VllmBackend(
            model[0],
            fork=request.param,
            stat_loggers=[_Load],
            dtype="float32",
            enforce_eager=True,
            max_model_len=CONTEXT,
            num_gpu_blocks_override=100,
            gpu_memory_utilization=0.1,
            data_parallel_size=2,
        )

    one = loop.run(start())
    yield one
    one.close()


async def _read(backend: VllmBackend, prompt: Sequence[int], params: SamplingParams) -> tuple[list[Event], Any]:
    stream = backend._stream(Request(list(prompt), params))
    return [event async for event in stream], stream.answer


def _bare(events: Sequence[Event]) -> list[Event]:
    return [replace(event, logprobs=()) if isinstance(event, Delta) else event for event in events]


def test_greedy_answers_are_the_oracles_event_for_event(
    backend: VllmBackend, model: tuple[Path, Any], loop: asyncio.Runner
) -> None:
    async def ask() -> list[tuple[list[Event], Any]]:
        return await asyncio.gather(*[_read(backend, *pair) for pair in zip(PROMPTS * 3, PARAMS * 3, strict=True)])

    forks = 0
    for (events, answer), prompt, params in zip(loop.run(ask()), PROMPTS * 3, PARAMS * 3, strict=True):
        oracle = Oracle(model[1], texts(), control(), CONTEXT, prompt, params)
        assert events == oracle.run()
        assert answer.text == oracle.text
        forks += sum(isinstance(event, Forked) for event in events)
    assert forks > 20


def test_log_probabilities_are_those_of_the_model(
    backend: VllmBackend, model: tuple[Path, Any], loop: asyncio.Runner
) -> None:
    params = SamplingParams(max_tokens=40, logprobs=3)
    events, answer = loop.run(_read(backend, PROMPTS[0], params))
    paths = {ROOT: list(PROMPTS[0])}
    seen = 0
    for event in events:
        if isinstance(event, Forked):
            paths[event.thread].append(control().fork)
            paths[event.child] = [*paths[event.thread], control().child]
        if isinstance(event, Delta):
            [found] = event.logprobs
            with torch.no_grad():
                logits = model[1](input_ids=torch.tensor([paths[event.thread]])).logits[0, -1]
            exact = logits.log_softmax(-1)
            assert found.logprob == pytest.approx(exact[event.token_ids[0]].item(), abs=1e-3)
            assert [value for _, value in found.top] == pytest.approx(exact.topk(3).values.tolist(), abs=1e-3)
            paths[event.thread].append(event.token_ids[0])
            seen += 1
    assert seen == 40
    assert len(answer.logprobs) == 40


def test_a_seed_gives_the_same_answer_again_and_another_seed_another(
    backend: VllmBackend, loop: asyncio.Runner
) -> None:
    params = SamplingParams(max_tokens=50, temperature=1.0, top_p=0.9, seed=3)

    async def ask() -> list[str]:
        return [(await _read(backend, PROMPTS[0], each))[1].text for each in (params, params, replace(params, seed=4))]

    first, again, other = loop.run(ask())
    assert first == again
    assert first != other


def test_closing_a_stream_ends_all_its_threads_and_no_others(
    backend: VllmBackend, model: tuple[Path, Any], loop: asyncio.Runner
) -> None:
    long = SamplingParams(max_tokens=100, seed=0)

    async def ask() -> str:
        doomed = [backend._stream(Request(list(prompt), long)) for prompt in PROMPTS[:4]]
        kept = asyncio.create_task(_read(backend, PROMPTS[4], long))
        for stream in doomed:
            async for event in stream:
                if isinstance(event, Forked):
                    break
            await stream.aclose()
        _, answer = await kept
        short = SamplingParams(max_tokens=9, fork=False)
        for _ in range(20):  # schedulers tell what they run only while they run something
            await asyncio.gather(*[_read(backend, prompt, short) for prompt in PROMPTS])
            if set(_Load.running.values()) == {0}:
                break
        return answer.text

    oracle = Oracle(model[1], texts(), control(), CONTEXT, PROMPTS[4], long)
    oracle.run()
    assert loop.run(ask()) == oracle.text
    assert set(_Load.running.values()) == {0}
    assert backend._engine.output_processor.get_num_unfinished_requests() == 0


@pytest.mark.parametrize(
    ("prompt", "params", "message"),
    [
        ("a", SamplingParams(presence_penalty=1.0), "penalties"),
        ("a", SamplingParams(temperature=3.0), "temperature"),
        ("a", SamplingParams(logit_bias={1_000_000: 1.0}), "the model has 40 tokens"),
    ],
)
def test_what_vllm_cannot_do_is_refused(
    backend: VllmBackend, loop: asyncio.Runner, prompt: str, params: SamplingParams, message: str
) -> None:
    async def ask() -> None:
        await backend.generate([prompt], params)

    with pytest.raises(RequestError, match=message):
        loop.run(ask())


def test_where_the_engine_dies_open_and_later_answers_fail(backend: VllmBackend, loop: asyncio.Runner) -> None:
    """The last test of its engine."""

    async def ask() -> None:
        stream = backend._stream(Request([5, 9, 12], SamplingParams(max_tokens=110)))
        await anext(stream)
        for process in backend._engine.engine_core.resources.engine_manager.processes:
            os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(RunError, match="died"):
            async for _ in stream:
                pass
        with pytest.raises(RunError, match="died"):
            await backend.generate(["a"])

    loop.run(ask())
