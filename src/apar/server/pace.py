"""How often streams send: the more there are, the less often each of them, so that sending does not slow decoding."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from apar.backends.backend import AnswerStream

_SECONDS_PER_STREAM = 0.004
_MOST_SECONDS = 0.05


class Pace:
    """Shared by the streams of a server, in one event loop.

    A chunk costs the event loop some forty microseconds in which the engine's thread cannot go on: for a small
    model, or many answers, that is much of the time of a token. An answer that is alone is sent token by token.
    Where several are open, each rests after a chunk for 4 ms times their number, 50 ms at most, and its next chunk
    has all the text that came meanwhile. All rest until the same moment, so that the loop wakes up once. Where the
    engine needs longer for a step nothing waits; the first text of an answer never does, nor does its end.
    """

    def __init__(self) -> None:
        self._open = 0
        self._resting: set[asyncio.Future[None]] = set()

    @contextmanager
    def joined(self, stream: AnswerStream) -> Iterator[Rest]:
        """Count one more stream meanwhile, and give its rests."""
        self._open += 1
        try:
            yield Rest(self, stream)
        finally:
            self._open -= 1

    @property
    def seconds(self) -> float:
        """The longest that a stream has to rest now."""
        return 0.0 if self._open < 2 else min(self._open * _SECONDS_PER_STREAM, _MOST_SECONDS)

    def begin(self, seconds: float) -> asyncio.Future[None]:
        """Something to wait for, until all that rest wake up: `seconds` at most."""
        loop = asyncio.get_running_loop()
        if not self._resting:
            loop.call_later(seconds, self._wake)
        future = loop.create_future()
        self._resting.add(future)
        return future

    def _wake(self) -> None:
        resting, self._resting = self._resting, set()
        for future in resting:
            if not future.done():
                future.set_result(None)


class Rest:
    """The rests of one stream, which end with it."""

    def __init__(self, pace: Pace, stream: AnswerStream) -> None:
        self._pace = pace
        self._over = False
        self._future: asyncio.Future[None] | None = None
        self._over = not stream.call_at_end(self._end) or self._over

    async def take(self) -> None:
        """Wait for what has to be between two chunks."""
        if self._over or not (seconds := self._pace.seconds):
            return
        self._future = self._pace.begin(seconds)
        await self._future

    def _end(self) -> None:
        self._over = True
        if self._future is not None and not self._future.done():
            self._future.set_result(None)
