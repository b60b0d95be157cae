"""A backend whose engine runs passes in a thread of its own: whatever is asked meanwhile shares them."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Self

from apar.backends.backend import Backend
from apar.backends.engine_thread import EngineThread, PendingRequest
from apar.decoding.requests import Request
from apar.decoding.statistics import EngineStatistics
from apar.decoding.vocabulary import Vocabulary
from apar.errors import RequestError
from apar.scheduling.core import EngineCore


class EngineBackend(Backend):
    """Answers many at once, from several threads and event loops; a subclass makes the engine."""

    def _set_up(self, vocabulary: Vocabulary, engine: EngineCore, max_waiting: int | None) -> None:
        """At most `max_waiting` requests wait for their first pass (None: no bound)."""
        if max_waiting is not None and max_waiting < 1:
            raise RequestError(f"max_waiting is {max_waiting}; it must be at least 1, or None for no bound")
        Backend.__init__(self, vocabulary, engine.limits)
        self._engine = engine
        self._thread = EngineThread(engine, max_waiting)
        # For those who forget to close: the thread must not outlive this object, nor run while the program ends.
        self._close: Callable[[], object] = weakref.finalize(self, self._thread.close)

    @property
    def failure(self) -> str | None:
        """Why the engine answers no more; None while it does."""
        return self._thread.failure

    def statistics(self) -> EngineStatistics:
        """What was done so far and what is under way. Requests that the engine has yet to take are waiting too."""
        return replace(self._engine.statistics(), waiting=self._thread.waiting)

    def close(self) -> None:
        """End the engine's thread after the pass under way; open and later requests get a RunError."""
        self._close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)

    def _start(self, requests: Sequence[Request], end_only: bool) -> list[PendingRequest]:
        pending = [PendingRequest(request, self._thread, end_only) for request in requests]
        self._thread.submit(pending)
        return pending
