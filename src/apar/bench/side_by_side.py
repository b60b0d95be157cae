"""Several ways to answer the same questions, side by side in one run; the first is what the others are held against."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from apar.bench.answers import ALL
from apar.decoding.answer import summed
from apar.intervals import Interval, ratio_interval


@dataclass(frozen=True, slots=True)
class Run:
    """Answers that were decoded together, in one way, in `seconds`; counts are sums over them.

    `forking` of the answers have several threads. `drafted` and `accepted` draft tokens are counted by how far behind
    the path they were.
    """

    seconds: float
    latencies: tuple[float, ...]
    tokens: int
    passes: int
    texts: tuple[str, ...]
    forking: int
    drafted: tuple[int, ...] = ()
    accepted: tuple[int, ...] = ()


class SideBySide(Protocol):
    """An engine that decodes answers in several ways, some of them together."""

    @property
    def ways(self) -> Sequence[str]:
        """The names of the ways."""
        ...

    @property
    def names(self) -> Sequence[str]:
        """Of the answers."""
        ...

    @property
    def categories(self) -> Sequence[str]:
        """Of the answers."""
        ...

    def run(self, numbers: Sequence[int], way: str) -> Run:
        """Decode the answers of these numbers together; nothing of them is in the cache before."""


@dataclass(frozen=True, slots=True)
class WayFigures:
    """One way over some answers: tokens a pass, mean seconds and tokens of an answer, and how many times as fast it is.

    `speedup` is the seconds of the first way over those of this one, of sums, with the 95 % interval over the batches
    of answers; `same_text` and `forking` are shares of the answers. `drafted_per_pass` are draft tokens that were
    verified in a pass, `accepted` shares of them that were right, by how far behind the path they were.
    """

    tokens_per_pass: float
    seconds: float
    tokens: float
    forking: float
    speedup: Interval
    same_text: float
    drafted_per_pass: float = 0.0
    accepted: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class CategoryFigures:
    """All ways over the answers of a category; `tokens` are all those of the first."""

    answers: int
    tokens: int
    ways: Mapping[str, WayFigures] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Batch:
    """Answers that were decoded together, in every way."""

    numbers: tuple[int, ...]
    runs: Mapping[str, Run]


def compare_ways(engine: SideBySide, concurrency: int, report: Callable[[], None]) -> list[Batch]:
    """Decode all answers in every way, batch after batch; which way goes first alternates. One warms up."""
    ways = tuple(engine.ways)
    for way in ways:
        engine.run((0,), way)
    batches = []
    for turn, begin in enumerate(range(0, len(engine.names), concurrency)):
        numbers = tuple(range(begin, min(begin + concurrency, len(engine.names))))
        first = turn % len(ways)
        runs = {way: engine.run(numbers, way) for way in (*ways[first:], *ways[:first])}
        batches.append(Batch(numbers, {way: runs[way] for way in ways}))
        report()
    return batches


def figures_by_category(engine: SideBySide, batches: Sequence[Batch]) -> dict[str, CategoryFigures]:
    """The figures of every category in alphabetical order, and of all answers last.

    Where several answers were decoded together only all of them have figures: a batch mixes categories.
    """
    by_category: dict[str, list[Batch]] = defaultdict(list)
    for batch in batches:
        if len(batch.numbers) == 1:
            by_category[engine.categories[batch.numbers[0]]].append(batch)
    return {**{name: _figures(by_category[name]) for name in sorted(by_category)}, ALL: _figures(batches)}


def _figures(batches: Sequence[Batch]) -> CategoryFigures:
    names = list(batches[0].runs)
    first = [batch.runs[names[0]] for batch in batches]
    ways = {way: _way(first, [batch.runs[way] for batch in batches]) for way in names}
    return CategoryFigures(sum(len(batch.numbers) for batch in batches), sum(run.tokens for run in first), ways)


def _way(first: Sequence[Run], runs: Sequence[Run]) -> WayFigures:
    latencies = [seconds for run in runs for seconds in run.latencies]
    pairs = [(a, b) for one, two in zip(first, runs, strict=True) for a, b in zip(one.texts, two.texts, strict=True)]
    drafted, accepted = summed([run.drafted for run in runs]), summed([run.accepted for run in runs])
    passes = sum(run.passes for run in runs)
    return WayFigures(
        sum(run.tokens for run in runs) / passes,
        statistics.fmean(latencies),
        sum(run.tokens for run in runs) / len(latencies),
        sum(run.forking for run in runs) / len(latencies),
        ratio_interval([run.seconds for run in first], [run.seconds for run in runs]),
        statistics.fmean(a == b for a, b in pairs),
        sum(drafted) / passes,
        tuple(right / all_ for right, all_ in zip(accepted, drafted, strict=False) if all_),
    )
