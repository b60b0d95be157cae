"""How often streams send: the more there are, the less often each of them, so that sending does not slow decoding."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from apar.backends.backend import AnswerStream

_SECONDS_PER_STREAM = 0.004
_MAX_SECONDS = 0.05


class SendCoalescer:
    """Shared by the streams of a server, in one event loop.

    A chunk costs the event loop some forty microseconds in which the engine's thread cannot go on: for a small
    model, or many answers, that is much of the time of a token. An answer that is alone is sent token by token.
    Where several are open, each waits after a chunk for 4 ms times their number, 50 ms at most, and its next chunk
    has all the text that came meanwhile. All wait until the same moment, so that the loop wakes up once. Where the
    engine needs longer for a step nothing waits; the first text of an answer never does, nor does its end.
    """

    def __init__(self) -> None:
        self._num_streams = 0
        self._waiting: set[asyncio.Future[None]] = set()

    @contextmanager
    def timer(self, stream: AnswerStream) -> Iterator[StreamTimer]:
        """Count one more stream meanwhile, and give its timer."""
        self._num_streams += 1
        try:
            yield StreamTimer(self, stream)
        finally:
            self._num_streams -= 1

    @property
    def seconds(self) -> float:
        """The longest that a stream has to wait now."""
        return 0.0 if self._num_streams < 2 else min(self._num_streams * _SECONDS_PER_STREAM, _MAX_SECONDS)

    def next_wake(self, seconds: float) -> asyncio.Future[None]:
        """Done when all that wait wake up, in `seconds` at most."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_later(seconds, self._wake)
        future = loop.create_future()
        self._waiting.add(future)
        return future

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)


class StreamTimer:
    """The waits of one stream between its chunks. The end of the stream ends them."""

    def __init__(self, coalescer: SendCoalescer, stream: AnswerStream) -> None:
        self._coalescer = coalescer
        self._ended = False
        self._future: asyncio.Future[None] | None = None
        self._ended = not stream.call_at_end(self._end) or self._ended

    async def wait(self) -> None:
        """Wait as long as has to be between two chunks."""
        if self._ended or not (seconds := self._coalescer.seconds):
            return
        self._future = self._coalescer.next_wake(seconds)
        await self._future

    def _end(self) -> None:
        self._ended = True
        if self._future is not None and not self._future.done():
            self._future.set_result(None)
