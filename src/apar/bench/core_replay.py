"""Real answers forced through an engine that runs passes, one by one or all at once."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from typing import Any

from apar.bench.replay import LoadResult, Mode, ReplayAnswer, ReplayResult, fitting
from apar.decoding.group import Group
from apar.scheduling.core import EngineCore


class CoreReplay:
    """An engine that runs passes, with the answers that fit into its context, as a `ReplayEngine`."""

    def __init__(self, engine: EngineCore, forced: Sequence[ReplayAnswer], name: str) -> None:
        self.engine, self._name = engine, name
        self.answers = fitting(forced, engine.context)
        self.left_out = len(forced) - len(self.answers)

    def run_one(self, answer: ReplayAnswer, mode: Mode) -> ReplayResult:
        """Decode an answer alone; nothing of it is in the cache before."""
        self._forget()
        began = time.perf_counter()
        group = self._add(answer, mode)
        while not group.events:
            self._step(group)
        first, passes = time.perf_counter(), group.passes
        held = [self._held]
        while not group.done:
            self._step(group)
            held.append(self._held)
        seconds = time.perf_counter() - first
        return ReplayResult(
            seconds, group.passes - passes, first - began, group.blocks_peak, statistics.fmean(held[:-1] or held)
        )

    def run_all(self, mode: Mode, concurrency: int | None) -> LoadResult:
        """Decode all answers, `concurrency` of them at a time; None is all at once."""
        self._forget()
        waiting = iter(self.answers)
        groups: list[Group] = []
        held: list[int] = []
        preemptions = self.engine.scheduler.preemptions
        began = time.perf_counter()
        while self._fill(groups, waiting, mode, concurrency):
            self.engine.step()
            held.append(self._held)
        seconds = time.perf_counter() - began
        for group in groups:
            _check(group)
        return LoadResult(
            seconds,
            len(held),
            sum(answer.stats.tokens for answer in self.answers),
            tuple(group.ended - group.began for group in groups),
            max(held),
            statistics.fmean(held),
            self.engine.scheduler.preemptions - preemptions,
        )

    def facts(self) -> dict[str, Any]:
        """Which engine it is and how it was set up, for the report."""
        pool = self.engine.pool
        return {"name": self._name, "kv_blocks": pool.num_blocks, "block_size": pool.block_size}

    def _fill(self, groups: list[Group], waiting: Iterator[ReplayAnswer], mode: Mode, concurrency: int | None) -> bool:
        """Add answers up to the concurrency; whether anything is left to run."""
        while concurrency is None or len(self.engine.groups) < concurrency:
            answer = next(waiting, None)
            if answer is None:
                break
            groups.append(self._add(answer, mode))
        return bool(self.engine.groups)

    def _add(self, answer: ReplayAnswer, mode: Mode) -> Group:
        forced = answer.forced[mode]
        return self.engine.add(answer.prompt, forced.params(), forced=forced)

    def _step(self, group: Group) -> None:
        self.engine.step()
        _check(group)

    def _forget(self) -> None:
        """Let no run find what another stored: every one reads its prompts itself."""
        self.engine.pool.forget(range(self.engine.pool.num_blocks))

    @property
    def _held(self) -> int:
        return self.engine.pool.num_blocks - self.engine.pool.num_free


def _check(group: Group) -> None:
    if group.error:
        raise group.error
