"""How often guesses of each kind are right: counted, with what was long ago counting less."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

_PRIOR_WEIGHT = 4.0
"""Guesses that a prior stands for."""

_MEMORY = 0.995
"""What a count is multiplied with at each further guess of its kind: about the last 200 decide."""


@dataclass(slots=True)
class Acceptance:
    """Shares of right guesses by kind."""

    _counts: dict[Hashable, tuple[float, float]] = field(default_factory=dict)

    def estimate(self, kind: Hashable, prior: float) -> float:
        """How likely a guess of this kind is right where what is before it is; `prior` before anything was seen."""
        right, seen = self._counts.get(kind, (0.0, 0.0))
        return (right + _PRIOR_WEIGHT * prior) / (seen + _PRIOR_WEIGHT)

    def observe(self, kind: Hashable, right: bool) -> None:
        """A guess was verified behind a path that is right."""
        before, seen = self._counts.get(kind, (0.0, 0.0))
        self._counts[kind] = before * _MEMORY + right, seen * _MEMORY + 1
