"""Four ways to decode the same answers in one run: one thread at a time or forked, each without and with drafts."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from apar.bench.answers import ALL
from apar.decoding.answer import summed
from apar.intervals import Interval, ratio_interval

WAYS = ("sequential", "sequential with drafts", "forked", "forked with drafts")


@dataclass(frozen=True, slots=True)
class Run:
    """Answers that were decoded together, in one way, in `seconds`; token and pass counts are sums over them.

    `drafted` and `accepted` draft tokens are counted by how far behind the path they were.
    """

    seconds: float
    latencies: tuple[float, ...]
    tokens: int
    passes: int
    texts: tuple[str, ...]
    drafted: tuple[int, ...] = ()
    accepted: tuple[int, ...] = ()


class DraftedEngine(Protocol):
    """An engine whose answers can be decoded in all four ways, `concurrency` of them together."""

    @property
    def names(self) -> Sequence[str]:
        """Of the answers."""
        ...

    @property
    def categories(self) -> Sequence[str]:
        """Of the answers."""
        ...

    def run(self, numbers: Sequence[int], forked: bool, drafts: bool) -> Run:
        """Decode the answers of these numbers together; nothing of them is in the cache before."""


@dataclass(frozen=True, slots=True)
class WayFigures:
    """One way over some answers: tokens a pass, mean seconds an answer, and how many times as fast it is.

    `drafted_per_pass` are draft tokens that were verified in a pass. `speedup` is the seconds of sequential decoding
    over those of this way, of sums, with the 95 % interval over the batches of answers. `accepted` are shares of draft
    tokens that were right, by how far behind the path they were.
    """

    tokens_per_pass: float
    seconds: float
    speedup: Interval
    same_text: float
    drafted_per_pass: float = 0.0
    accepted: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class DraftFigures:
    """All ways over the answers of a category."""

    answers: int
    tokens: int
    ways: Mapping[str, WayFigures] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Batch:
    """Answers that were decoded together, in every way."""

    numbers: tuple[int, ...]
    runs: Mapping[str, Run]


def compare_drafts(engine: DraftedEngine, concurrency: int, report: Callable[[], None]) -> list[Batch]:
    """Decode all answers in the four ways, batch after batch; which way goes first alternates. One warms up."""
    for way in range(len(WAYS)):
        _run(engine, (0,), way)
    batches = []
    for turn, begin in enumerate(range(0, len(engine.names), concurrency)):
        numbers = tuple(range(begin, min(begin + concurrency, len(engine.names))))
        order = [(turn + step) % len(WAYS) for step in range(len(WAYS))]
        runs = {WAYS[way]: _run(engine, numbers, way) for way in order}
        batches.append(Batch(numbers, {way: runs[way] for way in WAYS}))
        report()
    return batches


def _run(engine: DraftedEngine, numbers: Sequence[int], way: int) -> Run:
    return engine.run(numbers, forked=way >= 2, drafts=way % 2 == 1)


def figures_by_category(engine: DraftedEngine, batches: Sequence[Batch]) -> dict[str, DraftFigures]:
    """The figures of every category in alphabetical order, and of all answers last.

    Where several answers were decoded together only all of them have figures: a batch mixes categories.
    """
    by_category: dict[str, list[Batch]] = defaultdict(list)
    for batch in batches:
        if len(batch.numbers) == 1:
            by_category[engine.categories[batch.numbers[0]]].append(batch)
    return {**{name: _figures(by_category[name]) for name in sorted(by_category)}, ALL: _figures(batches)}


def _figures(batches: Sequence[Batch]) -> DraftFigures:
    first = [batch.runs[WAYS[0]] for batch in batches]
    ways = {way: _way(first, [batch.runs[way] for batch in batches]) for way in WAYS}
    return DraftFigures(sum(len(batch.numbers) for batch in batches), sum(run.tokens for run in first), ways)


def _way(first: Sequence[Run], runs: Sequence[Run]) -> WayFigures:
    latencies = [seconds for run in runs for seconds in run.latencies]
    pairs = [(a, b) for one, two in zip(first, runs, strict=True) for a, b in zip(one.texts, two.texts, strict=True)]
    drafted, accepted = summed([run.drafted for run in runs]), summed([run.accepted for run in runs])
    passes = sum(run.passes for run in runs)
    return WayFigures(
        sum(run.tokens for run in runs) / passes,
        statistics.fmean(latencies),
        ratio_interval([run.seconds for run in first], [run.seconds for run in runs]),
        statistics.fmean(a == b for a, b in pairs),
        sum(drafted) / passes,
        tuple(right / all_ for right, all_ in zip(accepted, drafted, strict=False) if all_),
    )
