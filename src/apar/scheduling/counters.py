"""Counts what an engine does, for its statistics."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from apar.decoding.group import Group
from apar.decoding.statistics import EngineStatistics
from apar.scheduling.blocks import BlockPool
from apar.scheduling.scheduler import Pass, Scheduler
from apar.scheduling.verified import Verified


@dataclass(slots=True)
class Counters:
    """Counts what an engine does. Written by the engine's thread alone; others may read it at any time."""

    rows: int = 0
    fed_tokens: int = 0
    passes: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    visible_tokens: int = 0
    forks: int = 0
    drafted: list[int] = field(default_factory=list)
    accepted: list[int] = field(default_factory=list)
    finished: dict[str, int] = field(default_factory=lambda: {"stop": 0, "length": 0})
    failed: int = 0
    cancelled: int = 0

    def ran(self, work: Pass, groups: Sequence[Group], began: float) -> None:
        """A pass has run, which began at `began`; its `groups` have counted it already."""
        self.passes += 1
        self.rows, self.fed_tokens = len(work.rows), work.tokens
        for group in groups:
            if group.passes == 1:
                group.entered = began
                self.prompt_tokens += group.prompt_tokens
                self.cached_tokens += group.cached_tokens

    def verified(self, found: Verified) -> None:
        """A row's draft was verified, if it had one."""
        draft = found.row.draft
        if draft is None:
            return
        group, path = found.row.group, found.row.thread.path
        for counts in (self.drafted, group.drafted.setdefault(path, [])):
            _count(counts, draft.depths)
        for counts in (self.accepted, group.accepted.setdefault(path, [])):
            _count(counts, range(len(found.nodes)))

    def decoded(self, group: Group, tokens: int, forks: int) -> None:
        """A group completed a logical step and gained visible tokens and threads."""
        self.visible_tokens += tokens
        self.forks += forks
        if tokens and not group.first_token:
            group.first_token = time.perf_counter()

    def answered(self, group: Group) -> None:
        """A group came to its end."""
        self.finished[group.finish_reason] += 1

    def ended(self, group: Group) -> None:
        """A group was ended from outside, or by its error."""
        if group.error:
            self.failed += 1
        else:
            self.cancelled += 1

    def statistics(self, groups: Sequence[Group], pool: BlockPool, scheduler: Scheduler) -> EngineStatistics:
        """The figures of this moment. While a pass runs in another thread they may be of before and after it."""
        present = list(groups)
        running = sum(group.passes > 0 for group in present)
        return EngineStatistics(
            waiting=len(present) - running,
            running=running,
            threads=sum(len(group.threads) for group in present if group.passes),
            rows=self.rows,
            fed_tokens=self.fed_tokens,
            blocks=pool.num_blocks,
            blocks_free=pool.num_free,
            blocks_cached=pool.num_kept,
            passes=self.passes,
            preemptions=scheduler.preemptions,
            prompt_tokens=self.prompt_tokens,
            cached_tokens=self.cached_tokens,
            visible_tokens=self.visible_tokens,
            forks=self.forks,
            finished=dict(self.finished),
            failed=self.failed,
            cancelled=self.cancelled,
            drafted_by_depth=tuple(self.drafted),
            accepted_by_depth=tuple(self.accepted),
        )


def _count(counts: list[int], depths: Iterable[int]) -> None:
    """Count one more at each of the depths."""
    for depth in depths:
        counts += [0] * (depth + 1 - len(counts))
        counts[depth] += 1
