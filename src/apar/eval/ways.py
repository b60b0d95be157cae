"""The ways in which a prompt is answered, and which of them are compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, get_args

Way = Literal["forked", "one_thread", "rules", "skeleton", "twin", "base"]
"""By the taught model in threads; the same answer, one thread at a time; by a model that was not taught, forked by the
form of its text; by Skeleton-of-Thought; by the sequential twin; by the base."""
WAYS: tuple[Way, ...] = get_args(Way)

PARALLEL: tuple[Way, ...] = ("forked", "rules", "skeleton")
"""Those whose answers have several threads at the same time."""

_SUBJECTS: tuple[Way, ...] = ("forked", "rules")


def subject(ways: Iterable[Way]) -> Way:
    """What a plan is about: the taught model, or without one the rules."""
    found = set(ways)
    return next(way for way in _SUBJECTS if way in found)


def parallel(ways: Iterable[Way]) -> list[Way]:
    """Those of some ways whose answers have several threads."""
    return [way for way in ways if way in PARALLEL]


def with_own_text(ways: Iterable[Way]) -> list[Way]:
    """Those of some ways whose texts are their own: one thread at a time gives the text of the forked answer."""
    return [way for way in ways if way != "one_thread"]


def pairs(ways: Iterable[Way]) -> Mapping[Way, Sequence[Way]]:
    """Which answers are compared prompt by prompt: the taught model's, and those by rules, with all others."""
    own = with_own_text(ways)
    return {first: [way for way in own if way != first] for first in _SUBJECTS if first in own}
