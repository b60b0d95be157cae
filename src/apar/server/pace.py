"""How often streams send: the more there are, the less often each of them, so that sending does not slow decoding."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

_SECONDS_PER_STREAM = 0.004
_MOST_SECONDS = 0.05


class Pace:
    """Shared by the streams of a server, in one event loop.

    A chunk costs the event loop some forty microseconds in which the engine's thread cannot go on: for a small
    model, or many answers, that is much of the time of a token. An answer that is alone is sent token by token.
    Where several are open, each rests after a chunk for 4 ms times their number, 50 ms at most, and its next chunk
    has all the text that came meanwhile. All rest until the same moment, so that the loop wakes up once. Where the
    engine needs longer for a step, nothing waits; the first text of an answer never does.
    """

    def __init__(self) -> None:
        self._open = 0
        self._end: asyncio.Event | None = None

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Count one more stream meanwhile."""
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    @property
    def seconds(self) -> float:
        """The longest that a stream has to rest now."""
        return 0.0 if self._open < 2 else min(self._open * _SECONDS_PER_STREAM, _MOST_SECONDS)

    async def rest(self) -> None:
        """Wait for what has to be between two chunks."""
        if not (seconds := self.seconds):
            return
        if self._end is None:
            self._end = asyncio.Event()
            asyncio.get_running_loop().call_later(seconds, self._wake)
        await self._end.wait()

    def _wake(self) -> None:
        assert self._end is not None
        self._end.set()
        self._end = None
