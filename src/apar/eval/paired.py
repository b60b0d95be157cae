"""Two values for each of many prompts, compared prompt by prompt, with 95 % bootstrap intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from apar.intervals import interval


def ratios(above: Sequence[float], below: Sequence[float]) -> dict[str, Any] | None:
    """Of `above` over `below`, pair by pair: the mean and the median of the ratios, and the ratio of the sums.

    Pairs whose lower value is 0 have no ratio and are left out; None where no pair is left.
    """
    pairs = [(a, b) for a, b in zip(above, below, strict=True) if b]
    if not pairs:
        return None
    each = [a / b for a, b in pairs]
    return {
        "prompts": len(pairs),
        "mean": _interval(len(pairs), lambda drawn: statistics.fmean(each[k] for k in drawn)),
        "median": _interval(len(pairs), lambda drawn: statistics.median(each[k] for k in drawn)),
        "total": _interval(
            len(pairs), lambda drawn: math.fsum(pairs[k][0] for k in drawn) / math.fsum(pairs[k][1] for k in drawn)
        ),
    }


def difference(first: Sequence[float], second: Sequence[float]) -> dict[str, Any] | None:
    """The means of both and the mean of first less second, pair by pair; None without pairs."""
    each = [a - b for a, b in zip(first, second, strict=True)]
    if not each:
        return None
    return {
        "prompts": len(each),
        "first": statistics.fmean(first),
        "second": statistics.fmean(second),
        "difference": _interval(len(each), lambda drawn: statistics.fmean(each[k] for k in drawn)),
    }


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> dict[str, Any] | None:
    """Whether two shares of passed prompts differ: `difference`, and McNemar's exact test, two-sided.

    `only_first` and `only_second` count the prompts that one alone passed; under the hypothesis that both are
    equally good either is as likely, and `p` is how likely it then is that they part so far or farther.
    """
    found = difference(first, second)
    if found is None:
        return None
    only_first = sum(a and not b for a, b in zip(first, second, strict=True))
    only_second = sum(b and not a for a, b in zip(first, second, strict=True))
    return {**found, "only_first": only_first, "only_second": only_second, "p": _sign_test(only_first, only_second)}


def _sign_test(one: int, other: int) -> float:
    """Two-sided, exact: of `one + other` fair coins, at most the fewer of them on one side, or on the other."""
    count, least = one + other, min(one, other)
    tail = sum(math.comb(count, k) for k in range(least + 1))
    return min(1.0, float(2 * tail / 2**count))


def _interval(count: int, figure: Callable[[Sequence[int]], float]) -> dict[str, float]:
    return asdict(interval(count, figure))
