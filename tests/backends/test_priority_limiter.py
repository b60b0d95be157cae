"""Who goes next."""

from __future__ import annotations

import asyncio

from apar.backends.priority_limiter import PriorityLimiter


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class _Users:
    """Tasks that take a place and leave it when they are told."""

    def __init__(self, gate: PriorityLimiter) -> None:
        self.gate = gate
        self.inside: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.told: dict[str, asyncio.Event] = {}

    async def enter(self, name: str, urgent: bool = False) -> None:
        self.told[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._use(name, urgent))
        await _settle()

    async def leave(self, name: str) -> None:
        self.told[name].set()
        await _settle()

    async def _use(self, name: str, urgent: bool) -> None:
        async with self.gate.slot(urgent):
            self.inside.append(name)
            await self.told[name].wait()


def test_the_urgent_go_before_the_others_each_in_the_order_they_came() -> None:
    async def use() -> list[str]:
        users = _Users(PriorityLimiter(1))
        await users.enter("first")
        for name in ("a", "b"):
            await users.enter(name)
        for name in ("x", "y"):
            await users.enter(name, urgent=True)
        for name in ("first", "x", "y", "a", "b"):
            await users.leave(name)
        return users.inside

    assert asyncio.run(use()) == ["first", "x", "y", "a", "b"]


def test_so_many_go_at_once() -> None:
    async def use() -> list[str]:
        users = _Users(PriorityLimiter(2))
        for name in "abc":
            await users.enter(name)
        inside = list(users.inside)
        for name in "abc":
            await users.leave(name)
        return inside

    assert asyncio.run(use()) == ["a", "b"]


def test_who_gives_up_waiting_takes_no_place() -> None:
    async def use() -> list[str]:
        users = _Users(PriorityLimiter(1))
        for name in "abc":
            await users.enter(name)
        users.tasks["b"].cancel()
        await users.leave("a")
        await users.leave("c")
        await users.enter("d")
        await users.leave("d")
        return users.inside

    assert asyncio.run(use()) == ["a", "c", "d"]


def test_who_gives_up_when_its_turn_has_just_come_passes_it_on() -> None:
    async def use() -> list[str]:
        users = _Users(PriorityLimiter(1))
        for name in "abc":
            await users.enter(name)
        users.told["a"].set()
        await asyncio.sleep(0)  # `a` leaves, and `b` has its turn but has not run
        users.tasks["b"].cancel()
        await _settle()
        await users.leave("c")
        await users.enter("d")
        await users.leave("d")
        return users.inside

    assert asyncio.run(use()) == ["a", "c", "d"]
