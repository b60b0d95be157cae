from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from apar.server.coalescing import SendCoalescer


class Stream:
    """As far as its pace is concerned. Events come by themselves, or only to who reads them (`pulled`)."""

    def __init__(self, pulled: bool = False) -> None:
        self.pulled = pulled
        self.end: Callable[[], None] = lambda: None

    def call_at_end(self, call: Callable[[], None]) -> bool:
        self.end = call
        return not self.pulled


def _stream(**options: Any) -> Any:
    return Stream(**options)


def test_a_stream_that_is_alone_never_rests() -> None:
    coalescer = SendCoalescer()
    with coalescer.timer(_stream()) as timer:
        assert coalescer.seconds == 0
        asyncio.run(timer.wait())


def test_the_more_streams_are_open_the_longer_each_rests_but_never_long() -> None:
    coalescer, seconds = SendCoalescer(), []
    with ExitStack() as streams:
        for _ in range(300):
            streams.enter_context(coalescer.timer(_stream()))
            seconds.append(coalescer.seconds)
    assert seconds == sorted(seconds)
    assert 0 < seconds[1] < seconds[7] < 0.05
    assert seconds[-1] == 0.05
    assert coalescer.seconds == 0


def test_all_rest_until_the_same_moment() -> None:
    woken: list[tuple[str, int]] = []

    async def turns(name: str, timer: Any) -> None:
        for turn in range(3):
            await timer.wait()
            woken.append((name, turn))

    async def both() -> None:
        coalescer = SendCoalescer()
        with coalescer.timer(_stream()) as first, coalescer.timer(_stream()) as second:
            await asyncio.gather(turns("a", first), turns("b", second))

    asyncio.run(both())
    assert sorted(woken[:2]) == [("a", 0), ("b", 0)]
    assert sorted(woken[2:4]) == [("a", 1), ("b", 1)]


def _after(action: Callable[[Stream, asyncio.Task[None]], Any]) -> list[str]:
    """Two streams rest, something happens to the first of them; the order in which they wake, once awake."""
    order: list[str] = []

    async def take(name: str, timer: Any) -> None:
        await timer.wait()
        order.append(name)

    async def run() -> None:
        coalescer, stream = SendCoalescer(), Stream()
        with coalescer.timer(stream) as first, coalescer.timer(_stream()) as second:  # type: ignore[arg-type]
            tasks = [asyncio.ensure_future(take("second", second)), asyncio.ensure_future(take("first", first))]
            await asyncio.sleep(0)
            action(stream, tasks[1])
            await asyncio.wait(tasks)

    asyncio.run(run())
    return order


def test_the_end_of_an_answer_ends_its_rest_alone() -> None:
    assert _after(lambda stream, task: stream.end()) == ["first", "second"]


def test_one_that_is_cancelled_while_it_rests_leaves_the_others_resting() -> None:
    assert _after(lambda stream, task: task.cancel()) == ["second"]


def test_a_stream_never_rests_after_its_end_nor_where_decoding_waits_for_its_reader() -> None:
    coalescer, ended = SendCoalescer(), Stream()

    async def none_rests() -> None:
        with coalescer.timer(ended) as first, coalescer.timer(_stream(pulled=True)) as second:  # type: ignore[arg-type]
            ended.end()
            assert coalescer.seconds > 0
            for timer in (first, second):
                taking = timer.wait()
                try:
                    taking.send(None)
                except StopIteration:
                    continue
                raise AssertionError("it rests")

    asyncio.run(none_rests())
