"""Batch 1: every answer sequentially and forked, in turn; what forking brings to who waits for one answer."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from apar.bench.answers import ALL
from apar.bench.replay import MODES, Mode, ReplayAnswer, ReplayEngine, ReplayResult
from apar.intervals import Interval, interval, ratio_interval


@dataclass(frozen=True, slots=True)
class Replayed:
    """An answer decoded both ways. A run's seconds are the median of its rounds."""

    id: str
    category: str
    tokens: int
    prompt_tokens: int
    threads: int
    attended_sequential: int
    attended_forked: int
    sequential: ReplayResult
    forked: ReplayResult


@dataclass(frozen=True, slots=True)
class LatencyFigures:
    """Figures over some answers. A ratio is of sums over the answers, above 1 where forking is better.

    `speedup` is seconds sequentially over seconds forked, `mean_speedup` the mean of the same over the answers,
    `step_ratio` passes over passes, and `share` the part of the step ratio that the clock shows. `rate`s are
    tokens a second, `latency`s mean seconds an answer, both without the prompt's pass. KV blocks are means over
    the answers; `attended_ratio` is tokens attended to sequentially over forked.
    """

    answers: int
    tokens: int
    rate_sequential: float
    rate_forked: float
    latency_sequential: float
    latency_forked: float
    speedup: Interval
    mean_speedup: Interval
    step_ratio: Interval
    share: Interval
    kv_peak_sequential: float
    kv_peak_forked: float
    kv_mean_sequential: float
    kv_mean_forked: float
    attended_ratio: Interval


def replay_latency(engine: ReplayEngine, rounds: int, report: Callable[[], None]) -> list[Replayed]:
    """Decode every answer both ways in each round; which goes first alternates. One answer warms up."""
    for mode in MODES:
        engine.run_one(engine.answers[0], mode)
    runs: dict[tuple[str, int], list[ReplayResult]] = defaultdict(list)
    for turn in range(rounds):
        for number, answer in enumerate(engine.answers):
            for mode in _order(turn + number):
                runs[mode, number].append(engine.run_one(answer, mode))
            report()
    return [
        _replayed(answer, _median(runs["sequential", number]), _median(runs["forked", number]))
        for number, answer in enumerate(engine.answers)
    ]


def latency_by_category(answers: Sequence[Replayed]) -> dict[str, LatencyFigures]:
    """The figures of every category in alphabetical order, and of all answers last."""
    by_category: dict[str, list[Replayed]] = defaultdict(list)
    for answer in answers:
        by_category[answer.category].append(answer)
    return {**{name: latency_figures(by_category[name]) for name in sorted(by_category)}, ALL: latency_figures(answers)}


def latency_figures(answers: Sequence[Replayed]) -> LatencyFigures:
    """The figures of at least one answer."""
    sequential, forked = [one.sequential for one in answers], [one.forked for one in answers]
    seconds = [one.seconds for one in sequential], [one.seconds for one in forked]
    passes = [float(one.passes) for one in sequential], [float(one.passes) for one in forked]
    tokens = sum(one.tokens for one in answers)
    each = [above / below for above, below in zip(*seconds, strict=True)]
    return LatencyFigures(
        answers=len(answers),
        tokens=tokens,
        rate_sequential=tokens / sum(seconds[0]),
        rate_forked=tokens / sum(seconds[1]),
        latency_sequential=statistics.fmean(seconds[0]),
        latency_forked=statistics.fmean(seconds[1]),
        speedup=ratio_interval(*seconds),
        mean_speedup=interval(len(each), lambda drawn: statistics.fmean(each[number] for number in drawn)),
        step_ratio=ratio_interval(*passes),
        share=interval(len(answers), lambda drawn: _ratio(seconds, drawn) / _ratio(passes, drawn)),
        kv_peak_sequential=statistics.fmean(one.kv_blocks_peak for one in sequential),
        kv_peak_forked=statistics.fmean(one.kv_blocks_peak for one in forked),
        kv_mean_sequential=statistics.fmean(one.kv_blocks_mean for one in sequential),
        kv_mean_forked=statistics.fmean(one.kv_blocks_mean for one in forked),
        attended_ratio=ratio_interval(
            [one.attended_sequential for one in answers], [one.attended_forked for one in answers]
        ),
    )


def _ratio(sides: tuple[Sequence[float], Sequence[float]], drawn: Sequence[int]) -> float:
    above, below = (sum(side[number] for number in drawn) for side in sides)
    return above / below


def _order(turn: int) -> tuple[Mode, Mode]:
    return MODES if turn % 2 == 0 else (MODES[1], MODES[0])


def _median(runs: Sequence[ReplayResult]) -> ReplayResult:
    """The run of median duration; of an even number the faster one of the middle."""
    return sorted(runs, key=lambda run: run.seconds)[(len(runs) - 1) // 2]


def _replayed(answer: ReplayAnswer, sequential: ReplayResult, forked: ReplayResult) -> Replayed:
    stats = answer.stats
    return Replayed(
        answer.id,
        answer.category,
        stats.tokens,
        len(answer.prompt),
        stats.threads,
        stats.attended_sequential,
        stats.attended_forked,
        sequential,
        forked,
    )
