"""What every backend for asyncio programs offers, and the stream of an answer's events."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import weakref
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from functools import cached_property, partial
from typing import Any, Self

from apar.decoding.answer import Answer, answers
from apar.decoding.by_form.form_tokens import FormTokens
from apar.decoding.detokenize import Detokenizer
from apar.decoding.group import Group
from apar.decoding.params import Prompt, SamplingParams
from apar.decoding.requests import Limits, Request, RequestBuilder
from apar.decoding.statistics import EngineStatistics
from apar.decoding.vocabulary import Vocabulary
from apar.errors import AparError, RunError
from apar.events import Event
from apar.tokens import encode_text


class PendingAnswer(ABC):
    """An answer on its way to the event loop that asked for it; all but `cancel` is for the thread of that loop.

    `unread` events have come and were not read. When it has `ended`, `error` is what went wrong, or `group` is the
    answer's. With `end_only` no events come, only the end.
    """

    def __init__(self, end_only: bool = False) -> None:
        self.end_only = end_only
        self.group: Group | None = None
        self.error: BaseException | None = None
        self.unread: deque[Event] = deque()
        self.ended = False
        self._closed = False
        self._on_end: Callable[[], None] | None = None
        self._arrived = asyncio.Event()

    @abstractmethod
    def cancel(self) -> None:
        """Have the engine end the answer. In any thread, and at any time: a finalizer may call it."""

    @abstractmethod
    async def wait_cancelled(self) -> None:
        """After `cancel`, wait for what the event loop has to do for it."""

    def receive(self, events: Iterable[Event], ended: bool = False) -> None:
        """Take in the next events, and whether they are the last. What comes after `close` is dropped."""
        if self._closed:
            return
        self.unread += events
        self.ended = ended
        self._arrived.set()
        if ended and self._on_end is not None:
            self._on_end()

    async def wait(self) -> None:
        """Wait until there are unread events, or no more come."""
        while not (self.unread or self.ended or self._closed):
            self._arrived.clear()
            await self._arrived.wait()

    def call_at_end(self, call: Callable[[], None]) -> bool:
        """See `AnswerStream.call_at_end`."""
        self._on_end = call
        if self.ended:
            call()
        return True

    def close(self) -> None:
        """Receive no more, and forget what was not read."""
        self._closed = True
        self.unread.clear()
        self._arrived.set()


class DecodedAnswer(PendingAnswer):
    """An answer whose events come from an async generator, which a task reads from now on. Made in an event loop."""

    def __init__(self, group: Group, batches: AsyncGenerator[list[Event], None], end_only: bool = False) -> None:
        super().__init__(end_only)
        self.group = group
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._read(batches))
        self._task.add_done_callback(self._end)

    def cancel(self) -> None:
        """Close the generator, which ends the requests behind it."""
        with contextlib.suppress(RuntimeError):  # where the loop is closed, so are its tasks
            self._loop.call_soon_threadsafe(self._task.cancel)

    async def wait_cancelled(self) -> None:
        """Wait until the generator is closed."""
        await asyncio.wait([self._task])

    def call_at_end(self, call: Callable[[], None]) -> bool:
        """False: the engine is elsewhere, and loses no time to whoever reads its events."""
        return False

    async def _read(self, batches: AsyncGenerator[list[Event], None]) -> None:
        async with aclosing(batches):
            async for events in batches:
                if not self.end_only:
                    self.receive(events)

    def _end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self.error = task.exception()
        elif not self._closed:
            self.error = RunError("the backend was closed before it had answered")
        self.receive((), ended=True)


class AnswerStream(AsyncIterator[Event]):
    """The events of one answer as they happen, and after the last of them its `answer`.

    Raises what the request failed with where the events end. Events come whether or not they are read. The answer
    is cancelled, and its memory is free before the next pass, when the stream is closed, dropped, or the task that
    waits for an event is cancelled. Events are raw, as those of `LLM.stream`: to show text, feed them to an
    `Assembler(params.stop)`.
    """

    def __init__(self, pending: PendingAnswer, backend: Backend | None = None) -> None:
        self._pending = pending
        self._backend = backend  # which lives as long as anybody reads
        self._answer: Answer | None = None
        self._cancel = weakref.finalize(self, pending.cancel)
        self._cancel.atexit = False

    @property
    def answer(self) -> Answer:
        """The whole answer; raises what it failed with, and RunError before the stream was read to its end."""
        pending = self._pending
        if self._answer is None:
            self._raise_failure()
            if not pending.ended or pending.unread or pending.group is None or not pending.group.done:
                raise RunError("the answer is not complete: read the stream to its end")
            self._answer = Answer.of(pending.group)
        return self._answer

    async def __anext__(self) -> Event:
        if not self._pending.unread:
            await self._wait()
        if not self._pending.unread:
            raise StopAsyncIteration
        return self._pending.unread.popleft()

    async def take(self) -> list[Event]:
        """All events that wait, or the next ones to come; raises as `async for` does, and is empty after the last."""
        if not self._pending.unread:
            await self._wait()
        taken = list(self._pending.unread)
        self._pending.unread.clear()
        return taken

    def call_at_end(self, call: Callable[[], None]) -> bool:
        """Have `call` called in the event loop when the last event has come, at once if it has; not after `aclose`.

        False, and it never is, where the engine computes elsewhere: then events should be read at once, because
        reading them costs the engine nothing.
        """
        return self._pending.call_at_end(call)

    async def aclose(self) -> None:
        """Cancel the answer unless it has ended; no more events come. Any task of its event loop may call it."""
        self._pending.close()
        self._cancel()
        await self._pending.wait_cancelled()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _wait(self) -> None:
        """Wait for events, or the end; raises what the answer failed with where no more come."""
        try:
            await self._pending.wait()
        except asyncio.CancelledError:
            await self.aclose()
            raise
        if self._pending.ended:
            self._cancel.detach()
            if not self._pending.unread:
                self._raise_failure()

    def _raise_failure(self) -> None:
        pending = self._pending
        error = pending.error or (pending.group.error if pending.group is not None else None)
        if pending.ended and error is not None:
            raise error


class Backend(ABC):
    """Something that answers many prompts at once in an event loop; `apar.AsyncLLM` is one.

    A subclass says how requests are started (`_start`); a `GroupBackend` how a group is decoded. `tokenizer` is the
    model's; `context` is how many tokens a path may have, the prompt included.
    """

    def __init__(self, vocabulary: Vocabulary, limits: Limits) -> None:
        self.tokenizer: Any = vocabulary.tokenizer
        self.context = limits.context
        self._vocabulary, self._limits = vocabulary, limits
        self._requests = RequestBuilder(vocabulary, limits)
        self._numbers = itertools.count()

    @property
    def forks(self) -> bool:
        """Whether the model was trained to fork."""
        return self._vocabulary.forks

    @property
    def limits(self) -> Limits:
        """What it can serve."""
        return self._limits

    @property
    def failure(self) -> str | None:
        """Why it answers no more; None while it does."""
        return None

    def statistics(self) -> EngineStatistics | None:
        """What was done so far and what is under way; None where the engine has figures of its own."""
        return None

    def stream(self, prompt: Prompt, params: SamplingParams | None = None) -> AnswerStream:
        """Ask for one answer, and return its events as they happen. Called where an event loop runs.

        Raises at once what is wrong with the request, as `LLM.generate` does, BusyError where too many wait, and
        RunError where the engine is gone.
        """
        return self._stream(self._requests.build(prompt, params))

    async def ask(
        self,
        prompts: Sequence[Prompt],
        params: SamplingParams | Sequence[SamplingParams] | None = None,
        whole: bool = False,
    ) -> list[AnswerStream]:
        """Ask for the `params.n` answers of each prompt, and return the stream of each; all are begun, or none.

        With `whole` streams report no events, only that the answer has ended. Prompts are encoded in another
        thread: the event loop goes on meanwhile. Raises as `stream` does.
        """
        requests = await asyncio.to_thread(self._requests.build_all, prompts, params)
        return self._streams(requests, end_only=whole)

    async def generate(
        self, prompts: Sequence[Prompt], params: SamplingParams | Sequence[SamplingParams] | None = None
    ) -> list[Answer]:
        """Answer all prompts, as `LLM.generate` does. Where the task is cancelled, so are all these answers."""
        streams = await self.ask(prompts, params, whole=True)
        try:
            return answers(await asyncio.gather(*(_outcome(stream) for stream in streams)))
        except BaseException:
            await asyncio.gather(*(stream.aclose() for stream in streams))
            raise

    @abstractmethod
    def close(self) -> None:
        """End the engine; open and later requests get a RunError."""

    @abstractmethod
    def _start(self, requests: Sequence[Request], end_only: bool) -> Sequence[PendingAnswer]:
        """Begin all requests, or none."""

    def _stream(self, request: Request) -> AnswerStream:
        [stream] = self._streams([request], end_only=False)
        return stream

    def _streams(self, requests: Sequence[Request], end_only: bool) -> list[AnswerStream]:
        return [AnswerStream(pending, self) for pending in self._start(requests, end_only)]


class GroupBackend(Backend):
    """A backend whose groups are made here, and of which only is to be said how one is decoded."""

    @abstractmethod
    def decode(self, group: Group) -> AsyncGenerator[list[Event], None]:
        """Decode a group's answer, and yield its events as they come. Closing it ends the requests behind it."""

    def _start(self, requests: Sequence[Request], end_only: bool) -> Sequence[PendingAnswer]:
        groups = [self._group(request) for request in requests]
        return [DecodedAnswer(group, self.decode(group), end_only) for group in groups]

    def _group(self, request: Request) -> Group:
        detokenizer = Detokenizer(self._vocabulary.decode)
        group = Group.start(next(self._numbers), request, self._vocabulary, self.context, detokenizer)
        if request.params.by_rules:
            group.read_form(self._form_tokens, request)
        return group

    @cached_property
    def _form_tokens(self) -> FormTokens:
        """For answers that fork by their form; the tokens of the tokenizer are looked at when the first does."""
        vocabulary, tokenizer = self._vocabulary, self._vocabulary.tokenizer
        return FormTokens(partial(encode_text, tokenizer), vocabulary.decode, vocabulary.eos, len(tokenizer))


async def _outcome(stream: AnswerStream) -> Answer | AparError:
    try:
        while await stream.take():
            pass
        return stream.answer
    except AparError as error:
        return error
