"""What runs in the next forward pass, and in which blocks. Plain data: no tensor is touched here."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from apar.engine.blocks import BlockPool
from apar.engine.sequence import Group, Thread


@dataclass(frozen=True, slots=True)
class Row:
    """A thread that is run: its tokens from index `begin` on are fed, and the last one's logits sampled.

    `attached` says that it took its first blocks in this pass, from another thread.
    """

    group: Group
    thread: Thread
    begin: int
    attached: bool

    @property
    def end(self) -> int:
        return len(self.thread.tokens)

    @property
    def length(self) -> int:
        """How many tokens are fed."""
        return self.end - self.begin

    @property
    def fed(self) -> list[int]:
        return self.thread.tokens[self.begin :]


@dataclass(frozen=True, slots=True)
class Mirror:
    """The token that `thread` is fed in this pass at path index `index` is also written to `slot`."""

    thread: Thread
    index: int
    slot: int


@dataclass(slots=True)
class Pass:
    """One forward pass. `copies` (from block, to block) come first: all are read before any is written."""

    rows: dict[Thread, Row] = field(default_factory=dict)
    copies: list[tuple[int, int]] = field(default_factory=list)
    mirrors: list[Mirror] = field(default_factory=list)
    tokens: int = 0

    def groups(self) -> list[Group]:
        return list(dict.fromkeys(row.group for row in self.rows.values()))


@dataclass(slots=True)
class Scheduler:
    """Fills passes in order of arrival, and within a group in path order.

    When blocks are short, the latest group gives all of its blocks back, and where there is only one group,
    its last thread does. They are recomputed when there is room again, so that the answer stays the same.
    At most `max_rows` threads run in a pass, with `max_tokens` tokens (or one thread, however many it has).
    """

    pool: BlockPool
    max_rows: int
    max_tokens: int
    preemptions: int = 0

    def plan(self, groups: Sequence[Group], alone: bool = False) -> Pass:
        """The next pass; it has a row whenever a group is unfinished. `groups` are in order of arrival.

        With `alone`, only the first group gets rows, and the others at most give their blocks to it.
        """
        work = Pass()
        later = deque(group for group in groups if group.blocks)
        for group in groups[:1] if alone else groups:
            if later and later[0] is group:
                later.popleft()
            if work.rows and not group.blocks and not self._may_enter(group, work):
                break
            for thread in group.waiting():
                if not self._place(group, thread, later, work):
                    return work
        return work

    def commit(self, work: Pass) -> None:
        """The pass has run: all that was fed is stored."""
        for thread in work.rows:
            thread.stored = len(thread.tokens)
        for group in work.groups():
            group.passes += 1

    def abandon(self, work: Pass) -> None:
        """The pass has failed: whatever its threads stored is recomputed."""
        for row in work.rows.values():
            self.release(row.group, row.thread)

    def release(self, group: Group, thread: Thread) -> None:
        """Give the thread's blocks back; those that it shares stay with the others."""
        group.blocks -= self.pool.release(thread.blocks)
        thread.blocks, thread.stored = [], 0

    def _may_enter(self, group: Group, work: Pass) -> bool:
        """Whether a group without blocks fits, and leaves a block for every running thread to grow into."""
        return self._blocks_needed(group) + len(work.rows) <= self.pool.num_free

    def _blocks_needed(self, group: Group) -> int:
        needed = 0
        for before, thread in zip([None, *group.threads], group.threads, strict=False):
            shared = before.common(thread) // self.pool.block_size if before else 0
            needed += self.pool.blocks_for(len(thread.tokens)) - shared
        return needed

    def _place(self, group: Group, thread: Thread, later: deque[Group], work: Pass) -> bool:
        """Add a row for `thread` if there is room, else change nothing but what was preempted for it."""
        source, begin = (None, thread.stored) if thread.blocks else self._source(group, thread, work)
        if not self._fits(work, len(thread.tokens) - begin):
            return False
        whole, rest = divmod(begin, self.pool.block_size)
        partial = source.blocks[whole] if source and rest else None
        if source:
            self._share(thread, source.blocks[:whole])
        missing = self.pool.blocks_for(len(thread.tokens)) - len(thread.blocks)
        if not self._make_room(missing, group, thread, later, work):
            if source:
                self.release(group, thread)
            return False
        self._grow(group, thread, missing)
        if source and partial is not None:
            self._split(source, partial, thread.blocks[whole], begin, work)
        work.rows[thread] = Row(group, thread, begin, source is not None)
        work.tokens += len(thread.tokens) - begin
        return True

    def _fits(self, work: Pass, tokens: int) -> bool:
        return not work.rows or (len(work.rows) < self.max_rows and work.tokens + tokens <= self.max_tokens)

    def _source(self, group: Group, thread: Thread, work: Pass) -> tuple[Thread | None, int]:
        """The thread that stores most of this one's path, and how many tokens of it can be taken over.

        For a new child that is its parent, with all but the `[Child]`: nothing is prefilled again. Tokens
        that are written in this very pass count, since a pass writes all keys before it reads any.
        """
        best: tuple[Thread | None, int] = (None, 0)
        for other in group.threads:
            row = work.rows.get(other)
            stored = len(other.tokens) if row else other.stored
            if other is thread or not stored:
                continue
            length = min(thread.common(other), stored, len(thread.tokens) - 1)
            if row and row.attached:
                # Its own partial block is put together in this pass and cannot be copied yet.
                length -= length % self.pool.block_size
            if length > best[1]:
                best = (other, length)
        return best

    def _share(self, thread: Thread, blocks: list[int]) -> None:
        self.pool.share(blocks)
        thread.blocks = list(blocks)

    def _grow(self, group: Group, thread: Thread, count: int) -> None:
        thread.blocks += self.pool.allocate(count)
        group.blocks += count
        group.blocks_peak = max(group.blocks_peak, group.blocks)

    def _split(self, source: Thread, block: int, target: int, length: int, work: Pass) -> None:
        """Make the source's partial block the thread's own: at most one block is copied.

        Tokens of the block that the source is fed in this very pass are written to both places instead.
        """
        first = length - length % self.pool.block_size
        row = work.rows.get(source)
        stored = row.begin if row else length
        if first < stored:
            work.copies.append((block, target))
        for index in range(max(first, stored), length):
            slot = target * self.pool.block_size + index % self.pool.block_size
            work.mirrors.append(Mirror(source, index, slot))

    def _make_room(self, count: int, group: Group, thread: Thread, later: deque[Group], work: Pass) -> bool:
        """Preempt `later` groups, then threads of this one, until `count` blocks are free; whether they are."""
        for victim in reversed(later):
            if self.pool.num_free >= count:
                return True
            self._preempt(victim, victim.threads)
        for own in reversed(group.threads):
            if self.pool.num_free >= count:
                return True
            if own is not thread and own not in work.rows:
                self._preempt(group, [own])
        return self.pool.num_free >= count

    def _preempt(self, group: Group, threads: Sequence[Thread]) -> None:
        self.preemptions += any(thread.blocks for thread in threads)
        for thread in threads:
            self.release(group, thread)
