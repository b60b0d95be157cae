"""What becomes of the answers of one request, each counted once."""

from __future__ import annotations

from apar.decoding.answer import Answer
from apar.server.metrics import Metrics


class Tally:
    """Counts `answers` answers: each is answered, or else it failed or was cancelled with all that were left."""

    def __init__(self, metrics: Metrics, answers: int) -> None:
        self._metrics = metrics
        self._left = answers

    def answered(self, answer: Answer) -> None:
        """One of them is complete."""
        self._left -= 1
        self._metrics.answered(answer)

    def failed(self) -> None:
        """The others ended by an error."""
        self._metrics.failed(self._left)
        self._left = 0

    def cancelled(self) -> None:
        """The client was gone before the others were complete."""
        self._metrics.cancelled(self._left)
        self._left = 0
