"""Figures with what they may vary by: 95 % intervals over answers (bootstrap), and the spread of rounds."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

DRAWS = 1000
_MOST_WORK = 5_000_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and the 95 % interval of what it would be over other answers of the same kind."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of a figure over some rounds, with the least and the most of them."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, rounds: Sequence[float]) -> Self:
        """Of at least one round."""
        return cls(statistics.median(rounds), min(rounds), max(rounds))


def ratio_interval(above: Sequence[float], below: Sequence[float], seed: int = 0) -> Interval:
    """Of the sum of `above` over the sum of `below`; the two are of the same answers, in the same order."""

    def ratio(drawn: Sequence[int]) -> float:
        total = sum(below[number] for number in drawn)
        return sum(above[number] for number in drawn) / total if total else 1.0

    return interval(len(above), ratio, seed)


def interval(count: int, figure: Callable[[Sequence[int]], float], seed: int = 0) -> Interval:
    """Of a figure over `count` answers, which are drawn anew by their numbers, the same ones every time."""
    rng = random.Random(seed)
    draws = max(100, min(DRAWS, _MOST_WORK // count))
    found = sorted(figure(rng.choices(range(count), k=count)) for _ in range(draws))
    tail = round(0.025 * (draws - 1))
    return Interval(figure(range(count)), found[tail], found[draws - 1 - tail])
