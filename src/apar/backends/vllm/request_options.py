"""What a request tells the scheduler in the core, as extra arguments that vLLM hands through.

Flat names and plain values: vLLM's own server takes them as `vllm_xargs`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apar.decoding.params import SamplingParams
from apar.errors import RequestError

FORK, MAX_THREADS, MAX_DEPTH, ORDER, CHOICE = (
    "apar_fork",
    "apar_max_threads",
    "apar_max_depth",
    "apar_order",
    "apar_choice",
)
FORCED, THREAD, SAMPLED = "apar_forced", "apar_thread", "apar_sampled"
READING, STEPS, ALONE = "reading", "steps", "alone"
_OWN = "apar_"

MOST_THREADS = 1024
"""A request may ask the core for so many; more would keep the other requests waiting."""


@dataclass(frozen=True, slots=True)
class ForkOptions:
    """How a request wants its answer forked.

    Its tokens come in `order` "reading", as text, or "steps": those of every logical step in path order, control
    tokens included, from which the threads can be told apart. "alone" is one thread of a client that forks by
    itself: nothing is forked here, and nothing banned.
    """

    fork: bool
    max_threads: int
    max_depth: int
    order: str
    choice: int

    @classmethod
    def of(cls, extra: Mapping[str, Any] | None) -> ForkOptions:
        """The options in a request's extra arguments; raises RequestError for one that is unknown or does not fit."""
        given = {name: value for name, value in (extra or {}).items() if name.startswith(_OWN)}
        unknown = given.keys() - {FORK, MAX_THREADS, MAX_DEPTH, ORDER, CHOICE, FORCED, THREAD, SAMPLED}
        if unknown:
            raise RequestError(f"there is no option {min(unknown)}; there are {FORK}, {MAX_THREADS} and {MAX_DEPTH}")
        defaults = SamplingParams()
        fork, order = given.get(FORK, True), given.get(ORDER, READING)
        if fork not in (True, False):
            raise RequestError(f"{FORK} is {fork!r}; it must be true or false, or 1 or 0")
        if order not in (READING, STEPS, ALONE):
            raise RequestError(f"{ORDER} is {order!r}; it must be {READING!r}, {STEPS!r} or {ALONE!r}")
        choice = given.get(CHOICE, 0)
        if not isinstance(choice, int) or isinstance(choice, bool) or choice < 0:
            raise RequestError(f"{CHOICE} is {choice!r}; it must be a whole number of at least 0")
        threads = given.get(MAX_THREADS, defaults.max_threads)
        if isinstance(threads, int) and threads > MOST_THREADS:
            raise RequestError(f"{MAX_THREADS} is {threads}; it may be {MOST_THREADS} at most")
        limits = SamplingParams(
            max_threads=threads,
            max_depth=given.get(MAX_DEPTH, defaults.max_depth),
        )
        return cls(bool(fork), limits.max_threads, limits.max_depth, order, choice)
