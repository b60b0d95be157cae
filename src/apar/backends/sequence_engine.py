"""Engines that decode sequences, and answers with forks made of what they decode.

An engine has to do nothing but go on behind given tokens: a vLLM in this process, a server far away. Every run of
an answer is an asyncio task that reads the engine; the coordinator says which are to begin and which to end.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from apar.decoding.coordinator import ForkCoordinator, SequenceRequest
from apar.decoding.group import Group, Sampled
from apar.events import Event


class SequenceEngine(Protocol):
    """An engine that decodes one sequence for each call."""

    def decode(self, group: Group, run: SequenceRequest) -> AsyncGenerator[Sequence[Sampled], None]:
        """Yield what the engine samples behind `run.tokens`, as it comes: `run.limit` tokens at most, or up to one
        of `group.eos`, that one included. None of `run.banned` may be sampled. Closing it ends the request.

        Raises RunError where the engine fails.
        """


@dataclass(frozen=True, slots=True)
class _News:
    run: SequenceRequest
    sampled: Sequence[Sampled]
    ended: bool = False
    error: BaseException | None = None


async def decode_forked(group: Group, engine: SequenceEngine) -> AsyncGenerator[list[Event], None]:
    """Decode a group's answer; yield its events as they come, and end when the group is done.

    Where this is closed or fails, every run of the answer is ended first.
    """
    answer = _RequestTasks(ForkCoordinator(group), engine)
    told = 0
    try:
        while not group.done:
            answer.obey()
            answer.hear(await answer.news.get())
            mark_times(group)
            if told < len(group.events):
                news = group.events[told:]
                told += len(news)
                yield news
    finally:
        await answer.end()


def mark_times(group: Group) -> None:
    """Note when the first visible token came, and the end."""
    now = time.perf_counter()
    if not group.first_token and group.visible_tokens:
        group.first_token = now
    if group.done:
        group.ended = now


class _RequestTasks:
    """The runs of one answer, each read by a task."""

    def __init__(self, coordinator: ForkCoordinator, engine: SequenceEngine) -> None:
        self._coordinator, self._engine = coordinator, engine
        self._tasks: dict[SequenceRequest, asyncio.Task[None]] = {}
        self.news: asyncio.Queue[_News] = asyncio.Queue()

    def obey(self) -> None:
        """Carry out the coordinator's orders."""
        actions = self._coordinator.actions()
        for run in actions.abort:
            self._tasks[run].cancel()
        for run in actions.start:
            self._tasks[run] = asyncio.create_task(self._read(run))

    def hear(self, news: _News) -> None:
        """Tell the coordinator; raises what the run failed with, if it is still wanted."""
        if news.error is not None and not self._coordinator.wants(news.run):
            return
        if news.error is not None:
            raise news.error
        self._coordinator.on_tokens(news.run, news.sampled, news.ended)

    async def end(self) -> None:
        """End all runs, and wait until the engine knows."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self, run: SequenceRequest) -> None:
        try:
            async with contextlib.aclosing(self._engine.decode(self._coordinator.group, run)) as pieces:
                async for sampled in pieces:
                    self.news.put_nowait(_News(run, sampled))
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self.news.put_nowait(_News(run, (), error=error))
            return
        self.news.put_nowait(_News(run, (), ended=True))
