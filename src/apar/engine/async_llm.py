"""The engine for asyncio programs: many answers at once, each to whoever waits for it."""

from __future__ import annotations

import asyncio
import copy
import os
import weakref
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

from apar.backends.backend import Backend
from apar.backends.engine_thread import EngineThread, PendingRequest
from apar.decoding.requests import Request
from apar.decoding.statistics import EngineStatistics
from apar.engine.llm import LLM
from apar.errors import RequestError


class AsyncLLM(Backend):
    """A model that answers many at once: whatever is asked while others are answered shares their passes.

    The engine runs in a thread of its own, from the start until `close`, or the end of `async with`. Everything
    here may be used from several threads and event loops. `model` and `options` are those of `LLM`. At most
    `max_waiting` requests wait for their first pass (None: no bound); one more is refused with BusyError.
    """

    def __init__(self, model: str | os.PathLike[str], *, max_waiting: int | None = None, **options: Any) -> None:
        self._set_up(LLM(model, **options), max_waiting)

    @classmethod
    def from_llm(cls, llm: LLM, *, max_waiting: int | None = None) -> Self:
        """An AsyncLLM of an LLM, which must not be used itself until this one is closed."""
        self = cls.__new__(cls)
        self._set_up(llm, max_waiting)
        return self

    def _set_up(self, llm: LLM, max_waiting: int | None) -> None:
        if max_waiting is not None and max_waiting < 1:
            raise RequestError(f"max_waiting is {max_waiting}; it must be at least 1, or None for no bound")
        # A copy, because the engine's thread decodes with the other one while prompts are encoded.
        super().__init__(replace(llm.vocabulary, tokenizer=copy.deepcopy(llm.tokenizer)), llm.engine.limits)
        self._engine = llm.engine
        self._thread = EngineThread(llm.engine, max_waiting)
        # For those who forget to close: the thread must not outlive this object, nor run while the program ends.
        self._close = weakref.finalize(self, self._thread.close)

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
