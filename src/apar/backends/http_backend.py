"""What backends have in common whose engine is a server elsewhere: its connections, and how they are closed."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Self

from apar.errors import UserError

if TYPE_CHECKING:
    from apar.client.http import AsyncHttpClient


class HttpConnections:
    """A part of a backend for one event loop. `_http` has the connections."""

    _http: AsyncHttpClient
    _closing: asyncio.Task[None] | None = None

    def close(self) -> None:
        """End all requests; open answers get a RunError. Where an event loop runs, a task of it closes what is open."""
        self._http.closed = True
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # the loop that has the connections has ended, and so have they
            return
        self._closing = loop.create_task(self.aclose())

    async def aclose(self) -> None:
        """End all requests, and wait until the connections are closed; open answers get a RunError."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def check_options(timeout: float, **counts: int) -> None:
    """Raise UserError for options that are out of range."""
    if not (math.isfinite(timeout) and timeout > 0):
        raise UserError(f"timeout is {timeout}; it must be a number of seconds above 0")
    for name, value in counts.items():
        if value < 1:
            raise UserError(f"{name} is {value}; it must be at least 1")
