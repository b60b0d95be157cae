"""Many answers at once: what forking brings at the same concurrency, or with the same cache."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from apar.bench.answers import ALL
from apar.bench.replay import MODES, LoadResult, Mode, ReplayEngine
from apar.intervals import Interval, Spread, ratio_interval

Rounds = dict[Mode, list[LoadResult]]
"""The loads of every round, by mode, in order."""


@dataclass(frozen=True, slots=True)
class LoadFigures:
    """One mode's figures, medians over the rounds.

    `rate` is visible tokens a second of all answers together. Latencies are seconds from an answer's request to
    its end; KV blocks are of all answers together.
    """

    rate: float
    seconds: float
    passes: float
    latency_mean: float
    latency_p95: float
    kv_peak: float
    kv_mean: float
    preemptions: float


@dataclass(frozen=True, slots=True)
class ThroughputFigures:
    """Both modes, and ratios over the rounds: forked over sequential for the rate, the other way round else."""

    answers: int
    tokens: int
    sequential: LoadFigures
    forked: LoadFigures
    rate_ratio: Spread
    step_ratio: Spread
    latency_ratio: Spread
    kv_peak_ratio: Spread
    kv_mean_ratio: Spread
    attended_ratio: float


@dataclass(frozen=True, slots=True)
class CategoryLatency:
    """The latencies of one category's answers under the load, means of seconds over its answers and rounds."""

    answers: int
    tokens: int
    latency_sequential: float
    latency_forked: float
    latency_ratio: Interval


def replay_throughput(
    engine: ReplayEngine, rounds: int, concurrency: Mapping[Mode, int | None], report: Callable[[], None]
) -> Rounds:
    """Decode all answers in each mode, round after round; which mode goes first alternates. One answer warms up."""
    for mode in MODES:
        engine.run_one(engine.answers[0], mode)
    loads: Rounds = {mode: [] for mode in MODES}
    for turn in range(rounds):
        for mode in MODES if turn % 2 == 0 else reversed(MODES):
            loads[mode].append(engine.run_all(mode, concurrency[mode]))
            report()
    return loads


def throughput_figures(engine: ReplayEngine, loads: Rounds) -> ThroughputFigures:
    """The figures over all answers."""
    stats = [answer.stats for answer in engine.answers]
    return ThroughputFigures(
        answers=len(stats),
        tokens=sum(one.tokens for one in stats),
        sequential=load_figures(loads["sequential"]),
        forked=load_figures(loads["forked"]),
        rate_ratio=_ratio(loads, lambda load: load.seconds),
        step_ratio=_ratio(loads, lambda load: load.passes),
        latency_ratio=_ratio(loads, lambda load: statistics.fmean(load.latencies)),
        kv_peak_ratio=_ratio(loads, lambda load: load.kv_blocks_peak),
        kv_mean_ratio=_ratio(loads, lambda load: load.kv_blocks_mean),
        attended_ratio=sum(one.attended_sequential for one in stats) / sum(one.attended_forked for one in stats),
    )


def load_figures(loads: Sequence[LoadResult]) -> LoadFigures:
    """The medians of some rounds."""

    def median(value: Callable[[LoadResult], float]) -> float:
        return statistics.median(map(value, loads))

    return LoadFigures(
        rate=median(lambda load: load.tokens / load.seconds),
        seconds=median(lambda load: load.seconds),
        passes=median(lambda load: load.passes),
        latency_mean=median(lambda load: statistics.fmean(load.latencies)),
        latency_p95=median(lambda load: percentile(load.latencies, 0.95)),
        kv_peak=median(lambda load: load.kv_blocks_peak),
        kv_mean=median(lambda load: load.kv_blocks_mean),
        preemptions=median(lambda load: load.preemptions),
    )


def latency_under_load(engine: ReplayEngine, loads: Rounds) -> dict[str, CategoryLatency]:
    """Latencies by category in alphabetical order, and of all answers last; intervals are over answers."""
    by_category: dict[str, list[int]] = defaultdict(list)
    for number, answer in enumerate(engine.answers):
        by_category[answer.category].append(number)
    groups = {name: by_category[name] for name in sorted(by_category)}
    return {
        name: _category(engine, loads, numbers)
        for name, numbers in {**groups, ALL: list(range(len(engine.answers)))}.items()
    }


def percentile(values: Sequence[float], share: float) -> float:
    """The least of the values that this share of them does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _category(engine: ReplayEngine, loads: Rounds, numbers: Sequence[int]) -> CategoryLatency:
    sequential, forked = (
        [statistics.median(load.latencies[number] for load in loads[mode]) for number in numbers] for mode in MODES
    )
    return CategoryLatency(
        answers=len(numbers),
        tokens=sum(engine.answers[number].stats.tokens for number in numbers),
        latency_sequential=statistics.fmean(sequential),
        latency_forked=statistics.fmean(forked),
        latency_ratio=ratio_interval(sequential, forked),
    )


def _ratio(loads: Rounds, value: Callable[[LoadResult], float]) -> Spread:
    """Sequential over forked in each round."""
    pairs = zip(loads["sequential"], loads["forked"], strict=True)
    return Spread.of([value(sequential) / value(forked) for sequential, forked in pairs])
