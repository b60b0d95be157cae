"""What a forward pass costs by the tokens that it is fed: measured at the start, and with every pass after it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
"""Tokens in a pass for which the time is kept; between two of them it is a straight line."""

_MEASURED = (1, 4, 16)
"""Sizes that are measured at the start, which takes as long as so many passes."""

_WEIGHT = 0.05
"""Of a pass that was measured, in the time that is kept."""

_TRUST = 2.0
"""A pass that took so many times what it was to take counts as having taken no more: the machine did other work."""


@dataclass(slots=True)
class StepCost:
    """Seconds of a pass: by the number of its tokens, and for every token of the paths that are read in it.

    `times` are for the numbers of `SIZES`, without what is read of paths.
    """

    times: list[float]
    per_context: float = 0.0
    _products: list[float] = field(default_factory=lambda: [0.0, 0.0])

    @classmethod
    def measured(cls, run: Callable[[int], float], most: int) -> StepCost:
        """By `run(tokens)`, which returns the seconds of a pass of so many tokens behind short paths.

        A few sizes up to `most` tokens are measured; between them and beyond the last the time is a straight line.
        """
        if most < 2:  # as if every token cost as much
            return cls([run(1) * size for size in SIZES])
        sizes = [size for size in _MEASURED if size <= most]
        if len(sizes) < 2:
            sizes = [1, 2]
        times: list[float] = []
        for size in sizes:
            # A larger pass is not cheaper: what says so was a disturbance.
            times.append(max(run(size), times[-1] if times else 0.0))
        return cls([_on_line(sizes, times, size) for size in SIZES])

    def seconds(self, tokens: float, context: float = 0.0) -> float:
        """What a pass of so many tokens takes whose paths have `context` tokens together."""
        low, share = _place(tokens)
        time = self.times[low] + share * (self.times[low + 1] - self.times[low])
        return time + self.per_context * context

    def observe(self, tokens: int, context: int, seconds: float) -> None:
        """A pass took `seconds`. One that is larger than all sizes, of prompts, tells nothing of the smaller ones."""
        if tokens > SIZES[-1]:
            return
        expected = self.seconds(tokens, context)
        seconds = min(seconds, _TRUST * expected)
        self._learn_context(context, seconds - self.seconds(tokens))
        error = seconds - self.seconds(tokens, context)
        low, share = _place(tokens)
        self.times[low] = max(self.times[low] + _WEIGHT * (1 - share) * error, 1e-9)
        self.times[low + 1] = max(self.times[low + 1] + _WEIGHT * share * error, 1e-9)

    def _learn_context(self, context: int, rest: float) -> None:
        """By least squares over the passes so far, of which the last hundreds decide."""
        squares, products = self._products
        self._products = squares, products = [squares * 0.99 + context * context, products * 0.99 + context * rest]
        if squares:
            self.per_context = max(0.0, products / squares)


def _place(tokens: float) -> tuple[int, float]:
    """The number of the size below, and how far `tokens` is on the way to the next; more than 1 beyond the last."""
    low = min(max(bisect_left(SIZES, tokens) - 1, 0), len(SIZES) - 2)
    return low, (tokens - SIZES[low]) / (SIZES[low + 1] - SIZES[low])


def _on_line(sizes: Sequence[int], times: Sequence[float], size: int) -> float:
    """The time of a size, by those of the two measured ones that are next to it."""
    low = min(max(bisect_left(sizes, size) - 1, 0), len(sizes) - 2)
    slope = (times[low + 1] - times[low]) / (sizes[low + 1] - sizes[low])
    return times[low] + slope * (size - sizes[low])
