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

from apar.decoding.coordinator import Actions, ForkCoordinator, SequenceRequest
from apar.decoding.form_coordinator import FormCoordinator
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
    return Limits(
        engine="vLLM",
        context=context,
        control=vocabulary.control,
        vocabulary_size=vocabulary_size,
        max_temperature=_VLLM_HOTTEST,
        penalties_see_forks=False,
        no_priorities=no_priorities,
        typical_drafts=False,
        by_rules=not vocabulary.given,
        logprobs_by_rules=False,
    )


class Coordinator(Protocol):
    """What says which requests decode an answer: by the model's own forks, or by the form of its text."""

    group: Group

    def actions(self) -> Actions:
        """What is to be done since the last time this was asked."""

    def wants(self, request: SequenceRequest) -> bool:
        """Whether what the request samples is still of interest."""

    def on_tokens(self, request: SequenceRequest, sampled: Sequence[Sampled], ended: bool) -> None:
        """Take in what a request sampled; raises RunError where the engine breaks a rule that it was given."""


def coordinator_of(group: Group) -> Coordinator:
    """What decides on the requests of a group, for an engine that keeps to bans."""
    if group.params.by_rules:
        return FormCoordinator(group, may_pause(group))
    return ForkCoordinator(group, pace=may_pause(group))


def may_pause(group: Group) -> bool:
    """Whether threads that are ahead may wait: not where a seed was given, from which the answer is to be the same."""
    return not group.params.temperature or group.params.seed is None


@dataclass(frozen=True, slots=True)
class _Update:
    run: SequenceRequest
    sampled: Sequence[Sampled]
    ended: bool = False
    error: BaseException | None = None


async def decode_forked(
    group: Group, engine: SequenceEngine, coordinator: Coordinator | None = None
) -> AsyncGenerator[list[Event], None]:
    """Decode a group's answer; yield its events as they come, and end when the group is done.

    The `coordinator` of the group is one for an engine that keeps to bans, unless it is given. Where this is closed or
    fails, every run of the answer is ended first.
    """
    answer = _RequestTasks(coordinator or coordinator_of(group), engine)
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

    def __init__(self, coordinator: Coordinator, engine: SequenceEngine) -> None:
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
