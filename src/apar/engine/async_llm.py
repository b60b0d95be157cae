"""The engine for asyncio programs: many answers at once, each to whoever waits for it."""

from __future__ import annotations

import asyncio
import copy
import os
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any, Self

from apar.decoding.answer import Answer, answers
from apar.decoding.params import Prompt, SamplingParams
from apar.decoding.requests import Request, RequestBuilder
from apar.decoding.statistics import EngineStatistics
from apar.engine.engine_thread import EngineThread, PendingRequest
from apar.engine.llm import LLM
from apar.errors import AparError, RequestError, RunError
from apar.events import Event


class AsyncLLM:
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
        self._engine = llm.engine
        # A copy, because the engine's thread decodes with the other one while prompts are encoded.
        self.tokenizer = copy.deepcopy(llm.tokenizer)
        self._intake = RequestBuilder(self.tokenizer, llm.forks, llm.engine.check_request)
        self._service = EngineThread(llm.engine, max_waiting)
        # For those who forget to close: the thread must not outlive this object, nor run while the program ends.
        self._close = weakref.finalize(self, self._service.close)

    @property
    def context(self) -> int:
        """How many tokens a path may have, the prompt included."""
        return self._engine.context

    def stream(self, prompt: Prompt, params: SamplingParams | None = None) -> EventStream:
        """Ask for one answer, and return its events as they happen. Called where an event loop runs.

        Raises at once what is wrong with the request, as `LLM.generate` does, BusyError where too many wait, and
        RunError where the engine is gone.
        """
        [ticket] = self._submit([self._intake.one(prompt, params)], silent=False)
        return EventStream(self, ticket)

    async def ask(
        self, prompts: Sequence[Prompt], params: SamplingParams | None = None, whole: bool = False
    ) -> list[EventStream]:
        """Ask for the `params.n` answers of each prompt, and return the stream of each; all are begun, or none.

        With `whole` streams tell no events, only that the answer has ended. Prompts are encoded in another thread:
        the event loop goes on meanwhile. Raises as `stream` does.
        """
        requests = await asyncio.to_thread(self._intake.many, prompts, params)
        return [EventStream(self, ticket) for ticket in self._submit(requests, silent=whole)]

    async def generate(
        self, prompts: Sequence[Prompt], params: SamplingParams | Sequence[SamplingParams] | None = None
    ) -> list[Answer]:
        """Answer all prompts, as `LLM.generate` does. Where the task is cancelled, so are all these answers."""
        tickets = self._submit(await asyncio.to_thread(self._intake.many, prompts, params), silent=True)
        try:
            for ticket in tickets:
                await ticket.letters.get()
        except BaseException:
            for ticket in tickets:
                self._service.cancel(ticket)
            raise
        return answers([ticket.outcome for ticket in tickets])

    @property
    def forks(self) -> bool:
        """Whether the model was trained to fork."""
        return self._intake.forks

    @property
    def failure(self) -> str | None:
        """Why the engine answers no more; None while it does."""
        return self._service.failure

    def statistics(self) -> EngineStatistics:
        """What was done so far and what is under way. Requests that the engine has yet to take are waiting too."""
        return replace(self._engine.statistics(), waiting=self._service.waiting)

    def close(self) -> None:
        """End the engine's thread after the pass under way; open and later requests get a RunError."""
        self._close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)

    def _submit(self, requests: Sequence[Request], silent: bool) -> list[PendingRequest]:
        loop = asyncio.get_running_loop()
        tickets = [PendingRequest(request, loop, silent) for request in requests]
        self._service.submit(tickets)
        return tickets


class EventStream(AsyncIterator[Event]):
    """The events of one answer as they happen, and after the last of them its `answer`.

    Raises what the request failed with where the events end. The answer is cancelled, and its blocks are free
    before the next pass, when the stream is closed, dropped, or the task that waits for an event is cancelled.
    Events are raw, as those of `LLM.stream`: to show text, feed them to an `Assembler(params.stop)`.
    """

    def __init__(self, llm: AsyncLLM, ticket: PendingRequest) -> None:
        self._llm = llm  # which lives as long as anybody reads
        self._ticket = ticket
        self._events: deque[Event] = deque()
        self._outcome: Answer | AparError | None = None
        self._cancel = weakref.finalize(self, llm._service.cancel, ticket)
        self._cancel.atexit = False

    @property
    def answer(self) -> Answer:
        """The whole answer; raises what it failed with, and RunError before the stream was read to its end."""
        if self._outcome is None:
            raise RunError("the answer is not complete: read the stream to its end")
        if isinstance(self._outcome, AparError):
            raise self._outcome
        return self._outcome

    async def __anext__(self) -> Event:
        if not self._events:
            await self._read()
        return self._events.popleft()

    async def take(self) -> list[Event]:
        """All events that wait, or the next ones to come; raises as `async for` does, and is empty after the last."""
        try:
            if not self._events:
                await self._read()
        except StopAsyncIteration:
            return []
        taken = list(self._events)
        self._events.clear()
        return taken

    def call_at_end(self, call: Callable[[], None]) -> bool:
        """Have `call` called in the event loop when the last event has come, at once if it has. True: events come
        whether or not they are read.
        """
        self._ticket.on_end = call
        if self._ticket.ended:
            call()
        return True

    async def _read(self) -> None:
        """Wait for more events; raises StopAsyncIteration, or the answer's error, where there are none."""
        if self._outcome is None and self._cancel.alive:
            try:
                self._events.extend(await self._ticket.letters.get())
                self._take_more()
            except BaseException:
                self._cancel()
                raise
            if self._events:
                return
            self._cancel.detach()
            self._outcome = self._ticket.outcome
        if isinstance(self._outcome, AparError):
            raise self._outcome
        raise StopAsyncIteration

    def _take_more(self) -> None:
        """Read what came meanwhile, but for the last letter, which is empty."""
        letters = self._ticket.letters
        while self._events and not letters.empty():
            letter = letters.get_nowait()
            if not letter:
                letters.put_nowait(letter)
                return
            self._events.extend(letter)

    async def aclose(self) -> None:
        """Cancel the answer unless it has ended; no more events come."""
        self._events.clear()
        self._cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
