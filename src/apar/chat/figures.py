"""The figures of an answer that are told below it, and those of an answer from a server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Figures(Protocol):
    """What is known of an answer; None what is not. An `apar.Answer` has them all."""

    @property
    def tokens(self) -> int | None:
        """The visible tokens."""
        ...

    @property
    def steps(self) -> int | None:
        """The forward passes that it took part in."""
        ...

    @property
    def threads(self) -> int | None: ...

    @property
    def seconds(self) -> float: ...

    @property
    def finish_reason(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server told of its answer; `seconds` are those waited for it."""

    finish_reason: str
    tokens: int | None = None
    steps: int | None = None
    threads: int | None = None
    seconds: float = 0.0
