"""Who may go next where only so many requests go at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class PriorityLimiter:
    """Lets `slots` requests go at once. Of those that wait, the urgent ones are next, in the order they came.

    Nobody waits for ever as long as who has a slot leaves it without waiting for another one.
    """

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._urgent: deque[asyncio.Future[None]] = deque()
        self._others: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def slot(self, urgent: bool) -> AsyncGenerator[None, None]:
        """Wait for a slot, and leave it at the end."""
        await self._enter(self._urgent if urgent else self._others)
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, queue: deque[asyncio.Future[None]]) -> None:
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # its turn came just before
                self._leave()
            raise

    def _leave(self) -> None:
        """Give a slot to the next who still waits."""
        for queue in (self._urgent, self._others):
            while queue:
                turn = queue.popleft()
                if not turn.done():
                    turn.set_result(None)
                    return
        self._free += 1
