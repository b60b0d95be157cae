"""The settings of a server: what it serves, and what its clients may do."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import version

from apar.errors import UserError
from apar.server.forking import Forking

REMOTE = "remote"
"""The kind of a backend that is a server elsewhere."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """`model` is the name that clients use and `backend` the kind of engine, which /version reports.

    At most `max_open` answers are under way or wait to be. An answer may take `request_seconds`; a stream is
    silent for `ping_seconds` at most. Requests that do not say so fork by `forking`, with at most
    `max_parallel_threads` threads decoded at the same time. Raises UserError for values that mean nothing.
    """

    model: str
    backend: str
    max_open: int = 256
    request_seconds: float = 600.0
    ping_seconds: float = 15.0
    forking: Forking = field(default_factory=Forking)
    max_parallel_threads: int | None = None

    @property
    def version(self) -> str:
        """Of this package."""
        return version("apar-llm")

    def __post_init__(self) -> None:
        if not self.model.strip():
            raise UserError("the served model has no name; give one")
        if self.max_open < 1:
            raise UserError(f"max_open is {self.max_open}; at least 1 answer must be allowed")
        for name in ("request_seconds", "ping_seconds"):
            if not getattr(self, name) > 0:
                raise UserError(f"{name} is {getattr(self, name)}; it must be above 0")


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What a client may send, and how long the server waits for it. Sizes are bytes, times seconds."""

    body: int = 4 * 2**20
    """A request's body."""
    bodies: int = 256 * 2**20
    """The bodies of all requests together, each from its first byte until the request is answered."""
    body_seconds: float = 30.0
    """From a request's head to the end of its body."""
    head: int = 64 * 2**10
    """A request's line and headers."""
    head_seconds: float = 20.0
    """From the opening of a connection, or the first byte of a later request, to the end of the request's head."""
    idle_seconds: int = 65
    """Between two requests of a connection; more than the minute after which most proxies close theirs."""
    unread_seconds: float = 60.0
    """For which a client may read nothing of what it was sent; then its answer is cancelled."""
    connections: int = 4096
    """Open at a time; one more is closed at once."""
    drain_seconds: float = 30.0
    """For which open answers may go on after the order to stop."""
