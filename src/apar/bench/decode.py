"""Sequential decoding of prompts of one length, ours against other engines, in rounds that take turns.

Forking must start from an engine that is not slower than what one would use without it.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from apar.bench.environment import Bandwidth
from apar.bench.model import BenchModel, kv_bytes_per_token, model_folder_of, weight_bytes
from apar.bench.peers.process import PeerError, PeerProcess
from apar.decoding.params import SamplingParams
from apar.engine.engine import Engine
from apar.intervals import Spread

OURS = "apar"

_PAUSE = 0.4
"""Seconds before a round: the threads of the engine that ran last spin for a while and would disturb the next."""


@dataclass(frozen=True, slots=True)
class DecodePlan:
    """What is decoded: prompts of `prompt_tokens` random ids and `new_tokens` more, in batches, in `rounds`."""

    batches: tuple[int, ...]
    prompt_tokens: int
    new_tokens: int
    rounds: int


@dataclass(frozen=True, slots=True)
class DecodeFigures:
    """One engine at one batch size. Of a spread the value is the median of the rounds.

    `rate` is tokens a second of the whole batch after the first token, `ratio` ours over this engine's in the
    same round, `bandwidth_share` the bytes that the steps must read, over what the memory gives, and
    `prompt_milliseconds` the time to the first token. `same_tokens` is the share of tokens equal to ours up to
    the first that differs: rounding makes random weights part early in 16 bits.
    """

    engine: str
    batch: int
    rate: Spread
    ratio: Spread
    bandwidth_share: float
    prompt_milliseconds: float
    same_tokens: float


@dataclass(frozen=True, slots=True)
class DecodeReport:
    """The figures of all engines that took part, what they are, and why the others were skipped."""

    figures: list[DecodeFigures]
    engines: dict[str, dict[str, Any]]
    skipped: dict[str, str]
    bandwidth: float
    step_bytes: dict[int, int]


class _Decoder(Protocol):
    def decode(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> tuple[float, list[list[int]]]: ...


@dataclass(slots=True)
class _Timings:
    """What the rounds of one engine and batch size took: seconds to the first token, and a step after it."""

    first: list[float] = field(default_factory=list)
    step: list[float] = field(default_factory=list)
    tokens: list[list[int]] = field(default_factory=list)


class OurEngine:
    """The engine of this package, without forking, and without an end-of-sequence."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def decode(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> tuple[float, list[list[int]]]:
        params = SamplingParams(max_tokens=new_tokens, fork=False)
        began = time.perf_counter()
        groups = [self._engine.add(prompt, params) for prompt in prompts]
        roots = [group.threads[0] for group in groups]
        while self._engine.groups:
            self._engine.step()
        seconds = time.perf_counter() - began
        for group in groups:
            if group.error:
                raise group.error
        return seconds, [root.tokens[-new_tokens:] for root in roots]


def compare_decoding(
    bench_model: BenchModel,
    model: str | None,
    plan: DecodePlan,
    peers: Sequence[str],
    pythons: Mapping[str, str],
    report: Callable[[str], None],
) -> DecodeReport:
    """Run every engine in turn in every round, in an order that turns too; one round warms up.

    A peer that cannot run, or fails on the way, is skipped with its reason.
    """
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = model_folder_of(bench_model, model, scratch) if peers else scratch
        step_bytes = {batch: _step_bytes(bench_model, plan, batch) for batch in plan.batches}
        vocabulary = int(bench_model.model.config.vocab_size)
        bandwidth = Bandwidth(bench_model.model.device)
        settings = {**_settings(bench_model, plan), "folder": str(folder), "scratch": str(scratch)}
        started, skipped = _start(peers, pythons, settings, stack, report)
        facts = {name: {"version": peer.version, "threads": peer.threads} for name, peer in started.items()}
        engine = bench_model.plain_engine(max(plan.batches))
        race = _Race({OURS: OurEngine(engine), **started}, plan, vocabulary)
        for turn in range(plan.rounds + 1):
            bandwidth.measure()
            race.run(turn)
            report(f"round {turn} of {plan.rounds}")
        skipped.update(race.failed)
        return DecodeReport(race.figures(step_bytes, bandwidth.best), facts, skipped, bandwidth.best, step_bytes)


class _Race:
    """The rounds of all engines."""

    def __init__(self, engines: Mapping[str, _Decoder], plan: DecodePlan, vocabulary: int) -> None:
        self.engines = dict(engines)
        self.failed: dict[str, str] = {}
        self._plan, self._vocabulary = plan, vocabulary
        self._random = random.Random(0)
        self._timings: dict[tuple[str, int], _Timings] = defaultdict(_Timings)

    def run(self, turn: int) -> None:
        """A round with every batch size; the one with number 0 is not counted."""
        for batch in self._plan.batches:
            # All engines get the same prompts, and none of them gets a prompt twice.
            short, whole = self._prompts(batch), self._prompts(batch)
            names = list(self.engines)
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                time.sleep(_PAUSE)
                self._run(name, short, whole, counted=turn > 0)

    def _run(self, name: str, short: list[list[int]], whole: list[list[int]], counted: bool) -> None:
        engine, new = self.engines[name], self._plan.new_tokens
        try:
            first, _ = engine.decode(short, 1)
            seconds, tokens = engine.decode(whole, new)
        except PeerError as error:
            self.failed[name] = str(error)
            del self.engines[name]
            return
        if counted:
            timings = self._timings[name, len(whole)]
            timings.first.append(first)
            timings.step.append((seconds - first) / (new - 1))
            timings.tokens += tokens

    def _prompts(self, batch: int) -> list[list[int]]:
        length = self._plan.prompt_tokens
        return [[self._random.randrange(self._vocabulary) for _ in range(length)] for _ in range(batch)]

    def figures(self, step_bytes: Mapping[int, int], bandwidth: float) -> list[DecodeFigures]:
        return [
            self._figures(name, batch, step_bytes[batch] / bandwidth)
            for batch in self._plan.batches
            for name in self.engines
        ]

    def _figures(self, name: str, batch: int, least_seconds: float) -> DecodeFigures:
        timings, ours = self._timings[name, batch], self._timings[OURS, batch]
        step = statistics.median(timings.step)
        return DecodeFigures(
            engine=name,
            batch=batch,
            rate=Spread.of([batch / seconds for seconds in timings.step]),
            ratio=Spread.of([theirs / own for theirs, own in zip(timings.step, ours.step, strict=True)]),
            bandwidth_share=least_seconds / step,
            prompt_milliseconds=statistics.median(timings.first) * 1e3,
            same_tokens=statistics.fmean(map(_shared, timings.tokens, ours.tokens)),
        )


def _start(
    peers: Sequence[str],
    pythons: Mapping[str, str],
    settings: Mapping[str, Any],
    stack: ExitStack,
    report: Callable[[str], None],
) -> tuple[dict[str, PeerProcess], dict[str, str]]:
    """The peers that could be started, and why the others could not."""
    started: dict[str, PeerProcess] = {}
    skipped: dict[str, str] = {}
    for name in peers:
        report(f"loading {name}")
        try:
            started[name] = PeerProcess(name, pythons[name], settings)
        except PeerError as error:
            skipped[name] = str(error)
        else:
            stack.callback(started[name].close)
    return started, skipped


def _settings(bench_model: BenchModel, plan: DecodePlan) -> dict[str, Any]:
    return {
        "dtype": str(bench_model.model.dtype).removeprefix("torch."),
        "device": bench_model.model.device.type,
        "threads": torch.get_num_threads(),
        "batch": max(plan.batches),
        "context": plan.prompt_tokens + plan.new_tokens + 1,
    }


def _step_bytes(bench_model: BenchModel, plan: DecodePlan, batch: int) -> int:
    """What a step in the middle must read: the weights once, and the keys and values of every sequence."""
    context = plan.prompt_tokens + plan.new_tokens // 2
    return weight_bytes(bench_model.model) + batch * context * kv_bytes_per_token(bench_model.model)


def _shared(tokens: Sequence[int], others: Sequence[int]) -> float:
    """The share of leading tokens that are the same."""
    pairs = enumerate(zip(tokens, others, strict=True))
    return next((number for number, (one, other) in pairs if one != other), len(tokens)) / len(tokens)
