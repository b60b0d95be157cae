"""What every backend for asyncio programs offers, and the stream of an answer's events."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import Any, Protocol, Self

from apar.decoding.answer import Answer, answers
from apar.decoding.group import Group
from apar.decoding.params import Prompt, SamplingParams
from apar.decoding.requests import Request, RequestBuilder
from apar.decoding.statistics import EngineStatistics
from apar.errors import AparError, RunError
from apar.events import Event


class EventSource(Protocol):
    """The events of one answer as they happen, and after the last of them its `answer`."""

    @property
    def answer(self) -> Answer:
        """The whole answer; raises what it failed with, and RunError before the last event was read."""
        ...

    def __aiter__(self) -> AsyncIterator[Event]: ...

    async def __anext__(self) -> Event: ...

    async def take(self) -> list[Event]:
        """All events that wait, or the next ones to come; empty after the last. Raises what the answer failed with."""
        ...

    def call_at_end(self, call: Callable[[], None]) -> bool:
        """Have `call` called when the last event has come. False, and it never is, where decoding waits for the reader
        of its events: then they should be read at once.
        """
        ...

    async def aclose(self) -> None:
        """Cancel the answer unless it has ended."""
        ...


class Backend(Protocol):
    """Something that answers many prompts at once in an event loop; `apar.AsyncLLM` is one."""

    tokenizer: Any

    @property
    def context(self) -> int:
        """How many tokens a path may have, the prompt included."""
        ...

    @property
    def forks(self) -> bool:
        """Whether the model was trained to fork."""
        ...

    @property
    def failure(self) -> str | None:
        """Why it answers no more; None while it does."""
        ...

    def statistics(self) -> EngineStatistics | None:
        """What was done so far and what is under way; None where the engine does not tell."""
        ...

    def stream(self, prompt: Prompt, params: SamplingParams | None = None) -> EventSource:
        """Ask for one answer; raises at once what is wrong with the request, as `LLM.generate` does."""
        ...

    async def ask(
        self, prompts: Sequence[Prompt], params: SamplingParams | None = None, whole: bool = False
    ) -> Sequence[EventSource]:
        """Ask for the `params.n` answers of each prompt; all are begun, or none. Encodes them in another thread.

        With `whole` nobody wants the events: a backend may tell the end alone.
        """
        ...

    async def generate(
        self, prompts: Sequence[Prompt], params: SamplingParams | Sequence[SamplingParams] | None = None
    ) -> list[Answer]:
        """Answer all prompts, as `LLM.generate` does."""
        ...

    def close(self) -> None:
        """End the engine; open and later requests get a RunError."""
        ...


Decode = Callable[[Group], AsyncGenerator[list[Event], None]]
"""Decodes a group's answer and yields its events; closing it ends the requests behind it."""


class AnswerStream(AsyncIterator[Event]):
    """The events of one answer. Raises what the request failed with where the events end.

    The answer is cancelled when the stream is closed, or the task that waits for an event is cancelled. Events are
    raw, as those of `LLM.stream`: to show text, feed them to an `Assembler(params.stop)`.
    """

    def __init__(self, group: Group, decode: Decode) -> None:
        self._group = group
        self._pieces = decode(group)
        self._events: deque[Event] = deque()
        self._error: AparError | None = None
        self._reading: asyncio.Future[list[Event]] | None = None
        self._closed = False

    @property
    def answer(self) -> Answer:
        """The whole answer; raises what it failed with, and RunError before the stream was read to its end."""
        if self._error is not None:
            raise self._error
        if not self._group.done:
            raise RunError("the answer is not complete: read the stream to its end")
        return Answer.of(self._group)

    async def __anext__(self) -> Event:
        while not self._events:
            if self._error is not None:
                raise self._error
            if self._closed:
                raise StopAsyncIteration
            await self._read()
        return self._events.popleft()

    async def take(self) -> list[Event]:
        """All events that wait, or the next ones to come; raises as `async for` does, and is empty after the last."""
        try:
            event = await anext(self)
        except StopAsyncIteration:
            return []
        taken = [event, *self._events]
        self._events.clear()
        return taken

    def call_at_end(self, call: Callable[[], None]) -> bool:
        """False: a child is asked for when its parent's events are read."""
        return False

    async def _read(self) -> None:
        """Wait for more events; raises StopAsyncIteration, or the answer's error, where there are none."""
        self._reading = asyncio.ensure_future(_next(self._pieces))
        try:
            self._events.extend(await self._reading)
        except AparError as error:
            self._error = error
            raise
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closed and (task is None or not task.cancelling()):
                raise StopAsyncIteration from None  # somebody else has closed the stream
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Cancel the answer unless it has ended; no more events come. Any task may call it."""
        self._closed = True
        self._events.clear()
        if self._reading is not None and not self._reading.done():
            self._reading.cancel()
            await asyncio.wait([self._reading])
        await self._pieces.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class BaseBackend:
    """A backend of which only is to be said how a request becomes a group, and how a group is decoded.

    `intake` encodes and checks prompts.
    """

    def __init__(self, intake: RequestBuilder, make_group: Callable[[Request], Group], decode: Decode) -> None:
        self._intake, self._make_group, self._decode = intake, make_group, decode

    @property
    def forks(self) -> bool:
        """Whether the model was trained to fork."""
        return self._intake.forks

    @property
    def failure(self) -> str | None:
        """Why it answers no more; None while it does."""
        return None

    def statistics(self) -> EngineStatistics | None:
        """Nothing: the engine behind has figures of its own."""
        return None

    def stream(self, prompt: Prompt, params: SamplingParams | None = None) -> AnswerStream:
        """Ask for one answer, and return its events as they happen. Called where an event loop runs.

        Raises at once what is wrong with the request, as `LLM.generate` does.
        """
        return self._stream(self._intake.one(prompt, params))

    async def ask(
        self, prompts: Sequence[Prompt], params: SamplingParams | None = None, whole: bool = False
    ) -> list[AnswerStream]:
        """Ask for the `params.n` answers of each prompt, and return the stream of each; all are begun, or none.

        Prompts are encoded in another thread: the event loop goes on meanwhile. Raises as `stream` does.
        """
        requests = await asyncio.to_thread(self._intake.many, prompts, params)
        return [self._stream(request) for request in requests]

    async def generate(
        self, prompts: Sequence[Prompt], params: SamplingParams | Sequence[SamplingParams] | None = None
    ) -> list[Answer]:
        """Answer all prompts, as `LLM.generate` does. Where the task is cancelled, so are all these answers."""
        requests = await asyncio.to_thread(self._intake.many, prompts, params)
        streams = [self._stream(request) for request in requests]
        async with asyncio.TaskGroup() as tasks:
            outcomes = [tasks.create_task(_outcome(stream)) for stream in streams]
        return answers([task.result() for task in outcomes])

    def _stream(self, request: Request) -> AnswerStream:
        return AnswerStream(self._make_group(request), self._decode)


async def _next(pieces: AsyncGenerator[list[Event], None]) -> list[Event]:
    return await anext(pieces)


async def _outcome(stream: AnswerStream) -> Answer | AparError:
    async with stream:
        try:
            async for _ in stream:
                pass
        except AparError as error:
            return error
        return stream.answer
