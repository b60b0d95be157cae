from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from apar.server.pace import Pace


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
    pace = Pace()
    with pace.joined(_stream()) as rest:
        assert pace.seconds == 0
        asyncio.run(rest.take())


def test_the_more_streams_are_open_the_longer_each_rests_but_never_long() -> None:
    pace, seconds = Pace(), []
    with ExitStack() as streams:
        for _ in range(300):
            streams.enter_context(pace.joined(_stream()))
            seconds.append(pace.seconds)
    assert seconds == sorted(seconds)
    assert 0 < seconds[1] < seconds[7] < 0.05
    assert seconds[-1] == 0.05
    assert pace.seconds == 0


def test_all_rest_until_the_same_moment() -> None:
    woken: list[tuple[str, int]] = []

    async def turns(name: str, rest: Any) -> None:
        for turn in range(3):
            await rest.take()
            woken.append((name, turn))

    async def both() -> None:
        pace = Pace()
        with pace.joined(_stream()) as first, pace.joined(_stream()) as second:
            await asyncio.gather(turns("a", first), turns("b", second))

    asyncio.run(both())
    assert sorted(woken[:2]) == [("a", 0), ("b", 0)]
    assert sorted(woken[2:4]) == [("a", 1), ("b", 1)]


def _after(action: Callable[[Stream, asyncio.Task[None]], Any]) -> list[str]:
    """Two streams rest, something happens to the first of them; the order in which they wake, once awake."""
    order: list[str] = []

    async def take(name: str, rest: Any) -> None:
        await rest.take()
        order.append(name)

    async def run() -> None:
        pace, stream = Pace(), Stream()
        with pace.joined(stream) as first, pace.joined(_stream()) as second:  # type: ignore[arg-type]
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
    pace, ended = Pace(), Stream()

    async def none_rests() -> None:
        with pace.joined(ended) as first, pace.joined(_stream(pulled=True)) as second:  # type: ignore[arg-type]
            ended.end()
            assert pace.seconds > 0
            for rest in (first, second):
                taking = rest.take()
                try:
                    taking.send(None)
                except StopIteration:
                    continue
                raise AssertionError("it rests")

    asyncio.run(none_rests())
