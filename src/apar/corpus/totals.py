"""What one answer adds to the statistics of a data set, and sums and histograms over answers, in bounded memory."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import add
from typing import Any, NamedTuple

from apar.corpus.split import Kind, kind_of
from apar.data.records import TreeRecord
from apar.data.token_counter import TokenCounter
from apar.stats import tree_stats
from apar.structure.labels import RULES, Reason, Rule

SPEEDUP_EDGES = (1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 6.0, 8.0)
LENGTH_EDGES = (0, 5, 10, 20, 40, 80, 160, 320, 640)
COUNT_EDGES = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48)
# Quantiles are read from logarithmic bins so wide.
_BIN = 0.01


class Costs(NamedTuple):
    """Tokens, threads, steps (`critical_path`) and tokens x steps (`kv_*`), of one answer or of several."""

    tokens: int = 0
    threads: int = 0
    critical_path: int = 0
    attended_forked: int = 0
    attended_sequential: int = 0
    kv_forked: int = 0
    kv_sequential: int = 0


class Summary(NamedTuple):
    """Labels and figures of one answer; `details` are the tokens of each detail, those within it included."""

    source: str
    model: str | None
    language: str | None
    licence: str | None
    format: str
    rule: Rule
    reason: Reason | None
    kind: Kind
    refusals: tuple[Reason, ...]
    depth: int
    details: tuple[int, ...]
    costs: Costs


def summarize(record: TreeRecord, counter: TokenCounter, format: str) -> Summary:
    """The summary of a record that was read from a file of `format`."""
    stats = tree_stats(record.tree, counter.count)
    labels = {key: str(record.extra[key]) for key in record.extra}
    return Summary(
        source=record.source,
        model=labels.get("model"),
        language=labels.get("lang"),
        licence=labels.get("license") or labels.get("licence"),
        format=format,
        rule=record.rule,
        reason=record.reason,
        kind=kind_of(record.reason, len(record.response)),
        refusals=tuple(refusal.reason for refusal in record.refusals),
        depth=stats.depth,
        details=stats.detail_tokens,
        costs=Costs(
            stats.tokens,
            stats.threads,
            stats.critical_path,
            stats.attended_forked,
            stats.attended_sequential,
            stats.kv_forked.sum,
            stats.kv_sequential.sum,
        ),
    )


@dataclass(slots=True)
class Histogram:
    """The distribution of a positive figure: its mean exactly, its median to 0.5 %, and a histogram."""

    edges: Sequence[float]
    number: int = 0
    sum: float = 0.0
    counts: Counter[int] = field(default_factory=Counter)
    bins: Counter[int] = field(default_factory=Counter)

    def add(self, value: float) -> None:
        self.number += 1
        self.sum += value
        self.counts[bisect_right(self.edges, value) - 1] += 1
        self.bins[round(math.log(max(value, 1e-9)) / _BIN)] += 1

    def quantile(self, share: float) -> float | None:
        """The value that this share of the values does not exceed; None where there are none."""
        reached = 0
        for number in sorted(self.bins):
            reached += self.bins[number]
            if reached >= share * self.number:
                return math.exp(number * _BIN)
        return None

    def to_dict(self) -> dict[str, Any]:
        """Number, mean, median, and how many values each bucket `[from, to)` holds."""
        names = [f"{low:g}-{high:g}" for low, high in pairwise(self.edges)] + [f"{self.edges[-1]:g}-"]
        below = {f"-{self.edges[0]:g}": self.counts[-1]} if self.counts[-1] else {}
        return {
            "number": self.number,
            "mean": ratio(self.sum, self.number),
            "median": rounded(self.quantile(0.5)),
            "histogram": {**below, **{name: self.counts[k] for k, name in enumerate(names)}},
        }


@dataclass(slots=True)
class Totals:
    """Sums over a set of answers."""

    answers: int = 0
    structured: int = 0
    costs: Costs = field(default_factory=Costs)
    rules: Counter[str] = field(default_factory=Counter)
    speedups: Histogram = field(default_factory=lambda: Histogram(SPEEDUP_EDGES))

    def add(self, summary: Summary) -> None:
        self.answers += 1
        self.structured += summary.reason is None
        self.costs = Costs(*map(add, self.costs, summary.costs))
        self.rules[summary.rule] += 1
        self.speedups.add(summary.costs.tokens / summary.costs.critical_path)

    def to_dict(self) -> dict[str, Any]:
        """The figures; ratios are None where there is nothing to divide.

        The ideal speed-up is tokens / critical path: of the sums (`corpus`), and over the answers.
        """
        costs = self.costs
        return {
            "answers": self.answers,
            "structured": self.structured,
            "by_rule": {rule: self.rules[rule] for rule in RULES if self.rules[rule]},
            "tokens": costs.tokens,
            "threads": costs.threads,
            "critical_path": costs.critical_path,
            "ideal_speedup": {
                "corpus": ratio(costs.tokens, costs.critical_path),
                "mean": ratio(self.speedups.sum, self.answers),
                "median": rounded(self.speedups.quantile(0.5)),
            },
            "attended": sides(costs.attended_forked, costs.attended_sequential),
            "kv_token_steps": sides(costs.kv_forked, costs.kv_sequential),
        }


def sides(forked: int, sequential: int) -> dict[str, Any]:
    """A cost forked and sequentially, and the first over the second."""
    return {"forked": forked, "sequential": sequential, "ratio": ratio(forked, sequential)}


def ratio(dividend: float, divisor: float) -> float | None:
    """A quotient to four places; None where there is nothing to divide by."""
    return rounded(dividend / divisor) if divisor else None


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
