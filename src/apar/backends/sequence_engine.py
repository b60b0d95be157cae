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
from functools import partial
from typing import Protocol

from apar.decoding.coordinator import ForkCoordinator, SequenceRequest
from apar.decoding.group import Group, Sampled
from apar.decoding.requests import Limits
from apar.decoding.vocabulary import Vocabulary
from apar.events import Event

_VLLM_HOTTEST = 2.0


class SequenceEngine(Protocol):
    """An engine that decodes one sequence for each call."""

    def decode(self, group: Group, run: SequenceRequest) -> AsyncGenerator[Sequence[Sampled], None]:
        """Yield what the engine samples behind `run.tokens`, as it comes: `run.limit` tokens at most, or up to one
        of `group.eos`, that one included. None of `run.banned` may be sampled. Closing it ends the request.

        Raises RunError where the engine fails.
        """


def vllm_limits(
    vocabulary: Vocabulary, context: int, vocabulary_size: int | None = None, no_priorities: str | None = None
) -> Limits:
    """What a vLLM can serve whose requests are the threads of an answer; see `Limits`."""
    return Limits("vLLM", context, vocabulary.control, vocabulary_size, _VLLM_HOTTEST, False, no_priorities, False)


@dataclass(frozen=True, slots=True)
class _Update:
    run: SequenceRequest
    sampled: Sequence[Sampled]
    ended: bool = False
    error: BaseException | None = None


async def decode_forked(group: Group, engine: SequenceEngine) -> AsyncGenerator[list[Event], None]:
    """Decode a group's answer; yield its events as they come, and end when the group is done.

    Where this is closed or fails, every run of the answer is ended first.
    """
    # What is sampled from a seed that somebody gave is to be the same again.
    pace = not group.params.temperature or group.params.seed is None
    answer = _RequestTasks(ForkCoordinator(group, pace=pace), engine)
    num_sent = 0
    try:
        while not group.done:
            answer.apply()
            answer.on_update(await answer.updates.get())
            mark_times(group)
            if num_sent < len(group.events):
                unsent = group.events[num_sent:]
                num_sent += len(unsent)
                yield unsent
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
        self.updates: asyncio.Queue[_Update] = asyncio.Queue()

    def apply(self) -> None:
        """Carry out what the coordinator asks for."""
        actions = self._coordinator.actions()
        for run in actions.abort:
            if run in self._tasks:
                self._tasks[run].cancel()
        for run in actions.start:
            task = self._tasks[run] = asyncio.create_task(self._read(run))
            task.add_done_callback(partial(self._forget, run))

    def on_update(self, update: _Update) -> None:
        """Hand it to the coordinator; raises what the run failed with, if it is still wanted."""
        if update.error is not None and not self._coordinator.wants(update.run):
            return
        if update.error is not None:
            raise update.error
        self._coordinator.on_tokens(update.run, update.sampled, update.ended)

    async def end(self) -> None:
        """End all runs, and wait until the engine knows."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, run: SequenceRequest, _: asyncio.Task[None]) -> None:
        self._tasks.pop(run, None)

    async def _read(self, run: SequenceRequest) -> None:
        try:
            async with contextlib.aclosing(self._engine.decode(self._coordinator.group, run)) as pieces:
                async for sampled in pieces:
                    self.updates.put_nowait(_Update(run, sampled))
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self.updates.put_nowait(_Update(run, (), error=error))
            return
        self.updates.put_nowait(_Update(run, (), ended=True))
