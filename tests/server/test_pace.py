from __future__ import annotations

import asyncio
from contextlib import ExitStack

from apar.server.pace import Pace


def test_a_stream_that_is_alone_never_rests() -> None:
    pace = Pace()
    with pace.joined():
        assert pace.seconds == 0
        asyncio.run(asyncio.wait_for(pace.rest(), 0.001))


def test_the_more_streams_are_open_the_longer_each_rests_but_never_long() -> None:
    pace, seconds = Pace(), []
    with ExitStack() as streams:
        for _ in range(300):
            streams.enter_context(pace.joined())
            seconds.append(pace.seconds)
    assert seconds == sorted(seconds)
    assert 0 < seconds[1] < seconds[7] < 0.05
    assert seconds[-1] == 0.05
    assert pace.seconds == 0


def test_all_rest_until_the_same_moment() -> None:
    woken: list[tuple[str, int]] = []

    async def rest(name: str, pace: Pace, turns: int) -> None:
        for turn in range(turns):
            await pace.rest()
            woken.append((name, turn))

    async def both() -> None:
        pace = Pace()
        with pace.joined(), pace.joined():
            await asyncio.gather(rest("a", pace, 3), rest("b", pace, 3))

    asyncio.run(both())
    assert woken == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2)]


def test_one_that_is_cancelled_while_it_rests_leaves_the_others_resting() -> None:
    async def cancel_one() -> list[bool]:
        pace = Pace()
        with pace.joined(), pace.joined():
            tasks = [asyncio.ensure_future(pace.rest()) for _ in range(2)]
            await asyncio.sleep(0)
            tasks[0].cancel()
            await asyncio.wait(tasks, timeout=10)
            return [task.cancelled() for task in tasks]

    assert asyncio.run(cancel_one()) == [True, False]
