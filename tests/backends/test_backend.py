from __future__ import annotations

import asyncio
import functools
import gc
import threading
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from typing import Any

import pytest

from apar.backends.backend import AnswerStream, DecodedAnswer, GroupBackend
from apar.backends.sequence_engine import _RequestTasks, _Update, decode_forked
from apar.backends.sync import SyncBackend
from apar.decoding.coordinator import ForkCoordinator
from apar.decoding.group import Group, Sampled
from apar.decoding.params import SamplingParams
from apar.decoding.requests import Limits, Request
from apar.decoding.vocabulary import Vocabulary
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
    return AnswerStream(DecodedAnswer(group, decode_forked(group, engine)))


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
    runs.on_update(_Update(root, (), error=RunError("lost")))
    with pytest.raises(RunError, match="lost"):
        runs.on_update(_Update(child, (), error=RunError("lost")))


class _Backend(GroupBackend):
    """Prompts are token ids already."""

    def __init__(self, engine: _Slow) -> None:
        super().__init__(Vocabulary(None, CONTROL, CONTROL.eos), Limits("the engine", 200))
        self._engine = engine

    def stream(self, prompt: Any, params: SamplingParams | None = None) -> AnswerStream:
        return self._stream(Request([3], params or SamplingParams(max_tokens=30)))

    def decode(self, group: Group) -> AsyncGenerator[list[Event], None]:
        return decode_forked(group, self._engine)

    def _group(self, request: Request) -> Group:
        return make_group(request.prompt, request.params, 200)

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


@in_loop
async def test_an_answer_is_decoded_whether_or_not_it_is_read() -> None:
    engine = _Slow()
    stream = _stream(engine)
    while not stream._pending.ended:
        await asyncio.sleep(0.001)
    assert engine.open == 0
    assert tuple([event async for event in stream]) == stream.answer.events


@in_loop
async def test_a_stream_that_is_dropped_cancels_its_answer() -> None:
    engine = _Slow(pause=3600)
    stream = _stream(engine)
    await asyncio.sleep(0.01)
    assert engine.open == 1
    del stream
    gc.collect()
    await asyncio.sleep(0.01)
    assert engine.open == 0


@in_loop
async def test_answers_that_are_asked_for_whole_report_their_end_alone() -> None:
    backend = _Backend(_Slow())
    params = SamplingParams(max_tokens=30)
    [stream] = backend._streams([Request([3], params)], end_only=True)
    assert await stream.take() == []
    assert stream.answer.threads == 2


@in_loop
async def test_a_generation_that_is_cancelled_or_fails_leaves_nothing_behind() -> None:
    engine = _Slow(pause=3600)
    backend = _Backend(engine)
    backend._requests.build_all = lambda prompts, params: [Request([3], SamplingParams())] * 3  # type: ignore[method-assign,assignment]
    asking = asyncio.create_task(backend.generate(["a", "b", "c"]))
    while engine.open < 3:
        await asyncio.sleep(0.001)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert engine.open == 0


@in_loop
async def test_what_a_backend_fails_with_by_mistake_is_raised_too() -> None:
    async def broken(group: Group) -> AsyncGenerator[list[Event], None]:
        raise ZeroDivisionError("a bug")
        yield []

    group = make_group([3], SamplingParams(), 200)
    stream = AnswerStream(DecodedAnswer(group, broken(group)))
    with pytest.raises(ZeroDivisionError):
        await stream.take()
    with pytest.raises(ZeroDivisionError):
        _ = stream.answer
