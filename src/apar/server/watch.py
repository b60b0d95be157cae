"""What is counted of requests and answers while they pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from apar.engine.answer import Answer
from apar.server.errors import ApiError

if TYPE_CHECKING:
    from apar.server.asked import Asked


class Watch(Protocol):
    """Takes note of what becomes of requests."""

    def answered(self, answer: Answer) -> None:
        """An answer is complete."""
        ...

    def cancelled(self, asked: Asked) -> None:
        """A client has gone before its answers were complete."""
        ...

    def failed(self, error: ApiError) -> None:
        """A request was refused, or an answer broke off."""
        ...
