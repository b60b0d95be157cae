"""What the structure of answers allows: steps, attended tokens and cache, and the bound on the speed-up by rows.

No model is needed. The fewest passes with at most R rows each follow from the threads alive in each step of
forked decoding: tokens are unit tasks in a tree of which each comes after one other, and for such tasks

    passes(R) = max over steps s of  s + ceil(tokens sampled in step s or later / R)

is what taking the thread with the longest rest first reaches, and nothing can be faster (Hu 1961, for a tree
whose arrows point the other way: the same schedule read backwards).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from apar.bench.answers import ALL, BenchAnswer
from apar.stats import TreeStats, tree_stats

Rows = int | None
"""A limit of rows in a pass; None is no limit."""


def fewest_passes(threads_per_step: Sequence[int], rows: Rows) -> int:
    """The fewest passes of at most `rows` rows that decode an answer with these threads in each step."""
    if rows is None:
        return len(threads_per_step)
    left = list(accumulate(reversed(threads_per_step)))[::-1]
    return max((step + math.ceil(tokens / rows) for step, tokens in enumerate(left)), default=0)


def speedup_bound(stats: TreeStats, rows: Rows) -> float:
    """Sequential steps over the fewest forked ones: what no engine with so many rows exceeds."""
    return stats.sequential_steps / fewest_passes(stats.threads_per_step, rows)


@dataclass(frozen=True, slots=True)
class StructureFigures:
    """Figures over a set of answers. Ratios are of sums: forked over sequential, speed-ups the other way round.

    `kv_sum_ratio` is of tokens held x steps. `bounds` has for each limit of rows the sequential steps over the
    fewest forked ones.
    """

    answers: int
    forking: float
    tokens: int
    threads: float
    sequential_steps: int
    critical_path: int
    attended_ratio: float
    kv_peak_ratio: float
    kv_sum_ratio: float
    bounds: dict[str, float]


def structure_figures(answers: Sequence[TreeStats], rows: Sequence[Rows]) -> StructureFigures:
    """The figures of at least one answer."""
    return StructureFigures(
        answers=len(answers),
        forking=_mean(answers, lambda one: one.forks > 0),
        tokens=sum(one.tokens for one in answers),
        threads=_mean(answers, lambda one: one.threads),
        sequential_steps=sum(one.sequential_steps for one in answers),
        critical_path=sum(one.critical_path for one in answers),
        attended_ratio=_ratio((one.attended_forked, one.attended_sequential) for one in answers),
        kv_peak_ratio=_ratio((one.kv_forked.peak, one.kv_sequential.peak) for one in answers),
        kv_sum_ratio=_ratio((one.kv_forked.sum, one.kv_sequential.sum) for one in answers),
        bounds={
            rows_name(limit): _ratio(
                (one.sequential_steps, fewest_passes(one.threads_per_step, limit)) for one in answers
            )
            for limit in rows
        },
    )


def structure_by_category(
    answers: Sequence[BenchAnswer], count: Callable[[str], int], rows: Sequence[Rows]
) -> dict[str, StructureFigures]:
    """The figures of every category in alphabetical order, and of all answers last."""
    by_category: dict[str, list[TreeStats]] = defaultdict(list)
    for answer in answers:
        by_category[answer.category].append(tree_stats(answer.tree, count))
    every = [stats for found in by_category.values() for stats in found]
    figures = {name: structure_figures(by_category[name], rows) for name in sorted(by_category)}
    return {**figures, ALL: structure_figures(every, rows)}


def rows_name(rows: Rows) -> str:
    return "inf" if rows is None else str(rows)


def _mean(answers: Sequence[TreeStats], value: Callable[[TreeStats], float]) -> float:
    return math.fsum(map(value, answers)) / len(answers)


def _ratio(pairs: Iterable[tuple[float, float]]) -> float:
    above, below = (math.fsum(side) for side in zip(*pairs, strict=True))
    # An answer of one token attends to nothing without its prompt.
    return above / below if below else 1.0
