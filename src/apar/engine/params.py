"""What a request may ask of a generation. No torch here: the command line checks its options with this."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from apar.errors import RequestError
from apar.tokens import Message

MAX_PRIORITY = 1_000_000

Prompt = str | Sequence[Message]
"""A question: plain text is one user turn, otherwise the turns of a chat."""


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How an answer is decoded; every limit is of the whole answer, all its threads together.

    `max_tokens` counts visible tokens. `temperature` 0 is greedy. `top_k` 0 is off. `seed` None takes a fresh
    one, which the answer reports. `stop` strings are matched in reading order and are no part of the text.
    With `fork` off the model decodes sequentially. `max_threads` counts every thread the answer ever has, the
    root included; `max_depth` is the length of the longest thread path. Requests of higher `priority` run
    first, which changes no text.

    Raises RequestError where a value is out of its range.
    """

    max_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    fork: bool = True
    max_threads: int = 32
    max_depth: int = 4
    priority: int = 0

    def __post_init__(self) -> None:
        _check_integer("max_tokens", self.max_tokens, 1)
        _check_number("temperature", self.temperature, "at least 0", lambda value: value >= 0)
        _check_number("top_p", self.top_p, "above 0 and at most 1", lambda value: 0 < value <= 1)
        _check_integer("top_k", self.top_k, 0)
        if self.seed is not None:
            _check_integer("seed", self.seed, 0)
        if not isinstance(self.fork, bool):
            raise RequestError(f"fork is {self.fork!r}; it must be True or False")
        _check_integer("max_threads", self.max_threads, 1)
        _check_integer("max_depth", self.max_depth, 1)
        _check_integer("priority", self.priority, -MAX_PRIORITY)
        object.__setattr__(self, "stop", _stop_strings(self.stop))


def _check_integer(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise RequestError(f"{name} is {value!r}; it must be a whole number of at least {least}")


def _check_number(name: str, value: Any, extent: str, fits: Any) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not fits(value):
        raise RequestError(f"{name} is {value!r}; it must be a number {extent}")


def _stop_strings(stop: Any) -> tuple[str, ...]:
    several = isinstance(stop, list | tuple)
    if not several or not all(isinstance(string, str) and string for string in stop):
        raise RequestError(f"stop is {stop!r}; it must be a tuple of strings, none of them empty")
    return tuple(stop)
