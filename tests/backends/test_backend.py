from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from typing import Any

import pytest

from apar.backends.backend import AnswerStream, BaseBackend
from apar.backends.sequence_engine import _News, _RequestTasks, decode_forked
from apar.backends.sync import SyncBackend
from apar.decoding.coordinator import ForkCoordinator
from apar.decoding.group import Group, Sampled
from apar.decoding.params import SamplingParams
from apar.decoding.requests import Request
from apar.errors import RunError
from apar.events import Event
from tests.backends.hasty import CONTROL, make_group


def in_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run a test in an event loop of its own."""

    @functools.wraps(test)
    def run() -> None:
        asyncio.run(test())

    return run


class _Slow:
    """An engine that says one token a pause; `open` counts the requests under way."""

    def __init__(self, pause: float = 0.001) -> None:
        self.pause, self.open = pause, 0

    async def decode(self, group: Group, run: Any) -> AsyncGenerator[Sequence[Any], None]:
        self.open += 1
        try:
            for number in range(run.limit):
                await asyncio.sleep(self.pause)
                yield [Sampled(CONTROL.fork if number == 1 and run.number == 0 else 5)]
        finally:
            self.open -= 1


def _stream(engine: _Slow, **params: Any) -> AnswerStream:
    group = make_group([3], SamplingParams(**{"max_tokens": 30, **params}), 200)
    return AnswerStream(group, lambda group: decode_forked(group, engine))


@in_loop
async def test_an_answer_closed_by_another_task_ends_for_its_reader() -> None:
    engine = _Slow(pause=3600)
    stream = _stream(engine)

    async def read() -> list[Event]:
        return [event async for event in stream]

    reader = asyncio.create_task(read())
    await asyncio.sleep(0.01)
    assert engine.open == 1
    await stream.aclose()
    assert await reader == []
    assert engine.open == 0


@in_loop
async def test_a_reader_that_is_cancelled_cancels_the_answer() -> None:
    engine = _Slow(pause=3600)
    stream = _stream(engine)
    reader = asyncio.create_task(anext(stream))
    await asyncio.sleep(0.01)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert engine.open == 0
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


@in_loop
async def test_the_answer_is_there_when_the_stream_has_been_read() -> None:
    engine = _Slow()
    stream = _stream(engine)
    with pytest.raises(RunError, match="not complete"):
        _ = stream.answer
    events = [event async for event in stream]
    assert stream.answer.events == tuple(events)
    assert stream.answer.threads == 2
    assert engine.open == 0


@in_loop
async def test_what_befalls_a_run_that_has_ended_is_of_no_interest() -> None:
    coordinator = ForkCoordinator(make_group([3], SamplingParams(max_tokens=30), 200))
    [root] = coordinator.actions().start
    runs = _RequestTasks(coordinator, _Slow())
    coordinator.on_tokens(root, [Sampled(4), Sampled(CONTROL.fork), Sampled(0)], ended=False)
    [child] = coordinator.actions().start
    runs.hear(_News(root, (), error=RunError("lost")))
    with pytest.raises(RunError, match="lost"):
        runs.hear(_News(child, (), error=RunError("lost")))


class _Backend(BaseBackend):
    """Prompts are token ids already."""

    tokenizer = None
    context = 200

    def __init__(self, engine: _Slow) -> None:
        self._decode = lambda group: decode_forked(group, engine)

    def stream(self, prompt: Any, params: SamplingParams | None = None) -> AnswerStream:
        return self._stream(Request([3], params or SamplingParams(max_tokens=30)))

    def _stream(self, request: Request) -> AnswerStream:
        return AnswerStream(make_group(request.prompt, request.params, 200), self._decode)

    def close(self) -> None: ...


def test_a_program_without_a_loop_reads_the_same_events() -> None:
    engine = _Slow()
    with SyncBackend(lambda: _Backend(engine)) as blocking:
        stream = blocking.stream("", SamplingParams(max_tokens=30))
        events = []
        while True:
            try:
                events.append(next(stream))
            except StopIteration as end:
                answer = end.value
                break
    assert answer.events == tuple(events)
    with pytest.raises(RunError, match="closed"):
        blocking.stream("")


def test_a_stream_that_is_closed_early_leaves_nothing_behind() -> None:
    engine = _Slow()
    with SyncBackend(lambda: _Backend(engine)) as blocking:
        stream = blocking.stream("")
        next(stream)
        stream.close()
        assert engine.open == 0


def test_closing_wakes_whoever_waits_in_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apar.backends.sync._CLOSING_SECONDS", 0.1)
    blocking = SyncBackend(lambda: _Backend(_Slow(pause=3600)))
    failures: list[BaseException] = []

    def wait() -> None:
        try:
            next(blocking.stream(""))
        except BaseException as error:
            failures.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    time.sleep(0.1)
    blocking.close()
    waiter.join(10)
    assert not waiter.is_alive()
    assert [type(failure) for failure in failures] in ([RunError], [StopIteration])


@in_loop
async def test_taking_reads_the_same_events_and_is_empty_after_the_last() -> None:
    expected = [event async for event in _stream(_Slow())]
    stream = _stream(_Slow())
    taken: list[Event] = []
    while events := await stream.take():
        taken += events
    assert taken == expected
    assert await stream.take() == []
    assert stream.answer.events == tuple(expected)
