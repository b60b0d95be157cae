"""A backend for programs without an event loop, with the methods of `LLM`."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Generator, Sequence
from concurrent.futures import CancelledError
from typing import Any, Self, TypeVar

from apar.backends.backend import AnswerStream, Backend
from apar.decoding.answer import Answer
from apar.decoding.params import Prompt, SamplingParams
from apar.errors import RunError
from apar.events import Event

Result = TypeVar("Result")

_CLOSING_SECONDS = 5.0


class SyncBackend:
    """Runs a backend in an event loop of its own, in a thread; `make` makes the backend there.

    Use it as a context manager, or close it. Raises what `make` raises.
    """

    def __init__(self, make: Callable[[], Backend]) -> None:
        self._closed = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="apar-backend", daemon=True)
        self._thread.start()
        try:
            self.backend = self._do(_call(make))
        except BaseException:
            self._stop()
            raise

    def generate(
        self, prompts: Sequence[Prompt], params: SamplingParams | Sequence[SamplingParams] | None = None
    ) -> list[Answer]:
        """Answer all prompts, as `LLM.generate` does."""
        return self._do(self.backend.generate(prompts, params))

    def stream(self, prompt: Prompt, params: SamplingParams | None = None) -> Generator[Event, None, Answer]:
        """The events of one answer as they happen; the generator returns the answer. Closing it cancels the answer."""
        return self._events(self._do(_call(lambda: self.backend.stream(prompt, params))))

    def close(self) -> None:
        """Close the backend and end the thread. May be called again."""
        if self._closed:
            return
        with contextlib.suppress(RuntimeError):
            self._do(_call(self.backend.close))
        # From here on nothing new is begun: the last work is to let what is open end.
        ending = asyncio.run_coroutine_threadsafe(_settle(), self._loop)
        self._closed = True
        ending.result()
        self._stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _events(self, stream: AnswerStream) -> Generator[Event, None, Answer]:
        try:
            while events := self._do(stream.take()):
                yield from events
            return stream.answer
        finally:
            if not self._closed:
                self._do(stream.aclose())

    def _do(self, work: Coroutine[Any, Any, Result]) -> Result:
        if self._closed:
            work.close()
            raise RunError("the backend was closed")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise
        except CancelledError:
            raise RunError("the backend was closed before it had answered") from None

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _call(function: Callable[[], Result]) -> Result:
    return function()


async def _settle() -> None:
    """Let what a backend closes by tasks be closed before the loop ends; then nobody waits for what is left."""
    if tasks := asyncio.all_tasks() - {asyncio.current_task()}:
        _, left = await asyncio.wait(tasks, timeout=_CLOSING_SECONDS)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
