"""What a server is doing: loading its model, serving, failed, or stopping."""

from __future__ import annotations

from typing import Literal

from apar.server.protocol.answers import HealthReport

Status = Literal["loading", "ok", "failed", "stopping"]


class Health:
    """May be read and set in any thread. It goes from loading to ok; failed and stopping are for good."""

    def __init__(self) -> None:
        self.status: Status = "loading"
        self.reason = "the model is being loaded"
        self.error: BaseException | None = None

    def ready(self) -> None:
        """The model is loaded."""
        if self.status == "loading":
            self.status, self.reason = "ok", ""

    def fail(self, error: BaseException) -> None:
        """The model cannot be loaded, or its engine is gone: the process ends with this error."""
        if self.status != "stopping":
            self.error = error
            self.status, self.reason = "failed", "the model cannot be used"

    def stop(self) -> None:
        """The process is about to end."""
        if self.status != "failed":
            self.status, self.reason = "stopping", "the server is stopping"

    def report(self) -> tuple[int, HealthReport]:
        """The answer of /health: its status code and body."""
        if self.status == "ok":
            return 200, HealthReport(status="ok")
        return 503, HealthReport(status=self.status, reason=self.reason)
