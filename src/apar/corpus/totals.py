"""Sums and histograms over answers: all in bounded memory."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from apar.corpus.summary import Summary
from apar.structure.labels import RULES

SPEEDUP_EDGES = (1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 6.0, 8.0)
LENGTH_EDGES = (0, 5, 10, 20, 40, 80, 160, 320, 640)
COUNT_EDGES = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48)
# Quantiles are read from logarithmic bins so wide.
_BIN = 0.01


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
            "mean": rounded(self.sum / self.number if self.number else None),
            "median": rounded(self.quantile(0.5)),
            "histogram": {**below, **{name: self.counts[k] for k, name in enumerate(names)}},
        }


@dataclass(slots=True)
class Totals:
    """Sums over a set of answers, in tokens, steps, and tokens x steps."""

    answers: int = 0
    structured: int = 0
    threads: int = 0
    tokens: int = 0
    critical_path: int = 0
    attended_forked: int = 0
    attended_sequential: int = 0
    kv_forked: int = 0
    kv_sequential: int = 0
    rules: Counter[str] = field(default_factory=Counter)
    speedups: Histogram = field(default_factory=lambda: Histogram(SPEEDUP_EDGES))

    def add(self, summary: Summary) -> None:
        self.answers += 1
        self.structured += summary.reason is None
        self.rules[summary.rule] += 1
        self.threads += len(summary.details) + 1
        self.tokens += summary.tokens
        self.critical_path += summary.critical_path
        self.attended_forked += summary.attended_forked
        self.attended_sequential += summary.attended_sequential
        self.kv_forked += summary.kv_forked
        self.kv_sequential += summary.kv_sequential
        self.speedups.add(summary.speedup)

    def to_dict(self) -> dict[str, Any]:
        """The figures; ratios are None where there is nothing to divide.

        The ideal speed-up is tokens / critical path: of the sums (`corpus`), and over the answers.
        """
        return {
            "answers": self.answers,
            "structured": self.structured,
            "by_rule": {rule: self.rules[rule] for rule in RULES if self.rules[rule]},
            "tokens": self.tokens,
            "threads": self.threads,
            "critical_path": self.critical_path,
            "ideal_speedup": {
                "corpus": ratio(self.tokens, self.critical_path),
                "mean": rounded(self.speedups.sum / self.answers if self.answers else None),
                "median": rounded(self.speedups.quantile(0.5)),
            },
            "attended": sides(self.attended_forked, self.attended_sequential),
            "kv_token_steps": sides(self.kv_forked, self.kv_sequential),
        }


def sides(forked: int, sequential: int) -> dict[str, Any]:
    """A cost forked and sequentially, and the first over the second."""
    return {"forked": forked, "sequential": sequential, "ratio": ratio(forked, sequential)}


def ratio(dividend: float, divisor: float) -> float | None:
    """A quotient to four places; None where there is nothing to divide by."""
    return rounded(dividend / divisor) if divisor else None


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
