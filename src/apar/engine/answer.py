"""An answer: its text, its events, and its figures."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

from apar.engine.sequence import Group
from apar.events import Delta, Event, Finished, Forked, Started

Mode = Literal["forked", "sequential"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What one prompt was answered with.

    `text` is in reading order and ends before a stop string; `events` are raw and tell all that was decoded.
    `finish_reason` is `stop` where the model or a stop string ended the answer, `length` where the budget or
    the context cut any of its threads. `tokens` are the visible ones of all threads. `steps` counts the
    forward passes that the answer took part in, `critical_path` its logical steps: they differ only when the
    engine was short of rows or blocks. `seconds` run from the request to the end of the answer, and
    `kv_blocks_peak` is the most cache blocks that it held at one time.
    """

    text: str
    finish_reason: Literal["stop", "length"]
    events: tuple[Event, ...]
    threads: int
    forks: int
    tokens: int
    prompt_tokens: int
    steps: int
    critical_path: int
    seconds: float
    kv_blocks_peak: int
    mode: Mode
    seed: int

    @classmethod
    def of(cls, group: Group) -> Answer:
        """The answer of a finished group."""
        events = tuple(group.events)
        cut = any(isinstance(event, Finished) and event.reason == "length" for event in events)
        return cls(
            text=group.assembler.text,
            finish_reason="length" if cut and not group.assembler.stopped else "stop",
            events=events,
            threads=sum(isinstance(event, Started) for event in events),
            forks=sum(isinstance(event, Forked) for event in events),
            tokens=sum(len(event.token_ids) for event in events if isinstance(event, Delta)),
            prompt_tokens=group.prompt_tokens,
            steps=group.passes,
            critical_path=group.step,
            seconds=group.ended - group.began,
            kv_blocks_peak=group.blocks_peak,
            mode="forked" if group.params.fork else "sequential",
            seed=group.seed,
        )

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds if self.seconds else 0.0

    @property
    def tokens_per_step(self) -> float:
        return self.tokens / self.steps if self.steps else 0.0

    def to_dict(self) -> dict[str, Any]:
        """All but the events, as plain data."""
        data = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "events"}
        return {**data, "tokens_per_second": self.tokens_per_second, "tokens_per_step": self.tokens_per_step}
