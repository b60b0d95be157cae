"""What a client may send, and how long the server waits for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of every connection; sizes are bytes, times seconds."""

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
