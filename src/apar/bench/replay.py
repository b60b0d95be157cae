"""Real answers told by an engine, sequentially and forked: one at a time, or many at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from apar.bench.scripted import Mode, ScriptedAnswer


@dataclass(frozen=True, slots=True)
class Run:
    """One answer decoded alone.

    `seconds` and `passes` are of decoding, after the pass that reads the prompt and samples the first token;
    that one took `prompt_seconds`. KV blocks are counted without the blocks given back in the same pass for
    the mean, with them for the peak.
    """

    seconds: float
    passes: int
    prompt_seconds: float
    kv_blocks_peak: int
    kv_blocks_mean: float


@dataclass(frozen=True, slots=True)
class Load:
    """All answers decoded together: `latencies` are the seconds from an answer's request to its end, in order.

    KV blocks are those held after each pass, by all answers together.
    """

    seconds: float
    passes: int
    tokens: int
    latencies: tuple[float, ...]
    kv_blocks_peak: int
    kv_blocks_mean: float
    preemptions: int


class Player(Protocol):
    """An engine that tells given answers. `left_out` counts answers that are longer than its context."""

    answers: list[ScriptedAnswer]
    left_out: int

    def tell(self, answer: ScriptedAnswer, mode: Mode) -> Run:
        """Decode an answer alone; nothing of it is in the cache before."""

    def tell_all(self, mode: Mode, concurrency: int | None) -> Load:
        """Decode all answers, `concurrency` of them at a time; None is all at once."""

    def facts(self) -> dict[str, Any]:
        """Which engine it is and how it was set up, for the report."""
