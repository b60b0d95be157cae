"""What runs in the next forward pass, and in which blocks. Plain data: no tensor is touched here."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from apar.decoding.group import Group, Thread
from apar.engine.blocks import BlockPool
from apar.engine.growth import GrowthEstimator, blocks_needed
from apar.engine.prefix_cache import ROOT

STARVATION_LIMIT = 256
"""Passes in a row that may go by without a row of a group; then it comes before all others, once."""


@dataclass(slots=True)
class Row:
    """A thread that is run: its tokens from index `begin` to `end` (exclusive) are fed.

    `attached` says that it took its first blocks in this pass, from another thread.
    """

    group: Group
    thread: Thread
    begin: int
    end: int
    attached: bool

    @property
    def length(self) -> int:
        """How many tokens are fed."""
        return self.end - self.begin

    @property
    def sampled(self) -> bool:
        """Whether the path ends in this pass: the last token's logits are sampled. If not, the rest follows."""
        return self.end == len(self.thread.tokens)

    @property
    def fed(self) -> list[int]:
        return self.thread.tokens[self.begin : self.end]


@dataclass(frozen=True, slots=True)
class DuplicateWrite:
    """The token that `thread` is fed in this pass at path index `index` is also written to `slot`."""

    thread: Thread
    index: int
    slot: int


@dataclass(slots=True)
class Pass:
    """One forward pass. `copies` (from block, to block) come first: all are read before any is written.

    `reserved` tokens of the limit are for threads that are fed a single token and have not been placed yet
    (None: nobody asked so far); `openings` are the first blocks of new paths that are being computed in this pass.
    """

    rows: dict[Thread, Row] = field(default_factory=dict)
    copies: list[tuple[int, int]] = field(default_factory=list)
    mirrors: list[DuplicateWrite] = field(default_factory=list)
    tokens: int = 0
    reserved: int | None = None
    openings: set[tuple[int, ...]] = field(default_factory=set)

    def groups(self) -> list[Group]:
        return list({row.group.number: row.group for row in self.rows.values()}.values())


@dataclass(slots=True)
class Scheduler:
    """Fills passes by priority and then in order of arrival, and within a group in path order.

    A group that got no row in `STARVATION_LIMIT` passes comes first, once. At most `max_rows` threads run in a pass,
    with `max_tokens` tokens: a longer prompt is fed in chunks, beside the threads that are fed one token.

    When blocks are short, the last group gives all of its blocks back, and where there is only one group, its
    last thread does. They are recomputed when there is room again, so that the answer stays the same.
    """

    pool: BlockPool
    max_rows: int
    max_tokens: int
    preemptions: int = 0
    foresight: GrowthEstimator = field(default_factory=GrowthEstimator)

    def plan(self, groups: Sequence[Group], alone: bool = False) -> Pass:
        """The next pass; it has a row whenever a group is unfinished. `groups` are in order of arrival.

        With `alone`, only the first group gets rows, and the others at most give their blocks to it.
        """
        work = Pass()
        ordered = groups if alone else _in_order(groups)
        chosen = ordered[:1] if alone else ordered
        later = deque(group for group in ordered if group.holders)
        closed = False
        for group in chosen:
            if later and later[0] is group:
                later.popleft()
            if work.rows and not group.holders and (closed or not self._may_enter(group, chosen, work)):
                # Nobody overtakes it, but those that are in go on.
                closed = True
                continue
            if not self._place_group(group, chosen, later, work):
                break
        return work

    def _place_group(self, group: Group, chosen: Sequence[Group], later: deque[Group], work: Pass) -> bool:
        """Add rows for a group's threads; whether there may be room for more groups."""
        size = self.pool.block_size
        for thread in group.threads:
            if thread.ahead:
                continue
            if len(work.rows) >= self.max_rows:
                return False
            stored = thread.stored
            if len(thread.tokens) - stored == 1 and thread.blocks:
                if work.reserved:
                    work.reserved -= 1
                # The common case first: one token, and room for it in the thread's last block.
                if stored % size and work.tokens < self.max_tokens:
                    work.rows[thread] = Row(group, thread, stored, stored + 1, False)
                    work.tokens += 1
                    continue
            elif work.reserved is None:
                work.reserved = min(_singles(chosen, work), self.max_rows - len(work.rows) - 1)
            if not self._place(group, thread, later, work):
                return False
        return True

    def commit(self, work: Pass, groups: Sequence[Group] = ()) -> None:
        """The pass has run: all that was fed is stored. `groups` are all those that are unfinished."""
        for thread, row in work.rows.items():
            thread.stored = row.end
            if row.end >= (len(thread.places) + 1) * self.pool.block_size:
                self._index(thread)
        for group in groups:
            group.passed_over += 1
        for group in work.groups():
            group.passes += 1
            group.passed_over = 0

    def abandon(self, work: Pass) -> None:
        """The pass has failed: whatever its threads stored is recomputed."""
        for row in work.rows.values():
            self.release(row.group, row.thread)

    def release(self, group: Group, thread: Thread) -> None:
        """Give the thread's blocks back; those that it shares stay with the others."""
        self.pool.release(thread.blocks)
        for block in thread.blocks:
            group.holders[block] -= 1
            if not group.holders[block]:
                del group.holders[block]
        thread.blocks, thread.stored, thread.places = [], 0, []

    def feed_again(self, group: Group, thread: Thread) -> None:
        """Have the last token of a thread's path fed once more, for its logits. A block that others hold too is not
        written again: then the thread begins anew behind what the prefix cache has.
        """
        if thread.stored == len(thread.tokens):
            if self.pool.shared(thread.blocks[-1]):
                self.release(group, thread)
            else:
                thread.stored -= 1

    def _index(self, thread: Thread) -> None:
        """Let later requests find the thread's new full blocks."""
        size = self.pool.block_size
        for number in range(len(thread.places), thread.stored // size):
            place = thread.places[-1] if thread.places else ROOT
            tokens = thread.tokens[number * size : (number + 1) * size]
            thread.places.append(self.pool.prefixes.add(place, tokens, thread.blocks[number]))

    def _may_enter(self, group: Group, groups: Sequence[Group], work: Pass) -> bool:
        """Whether a group without blocks fits beside those that have some, and beside what these will grow by."""
        needed = blocks_needed(group, self.pool)
        growing = sum(self.foresight.growth(other, self.pool) for other in groups if other.holders)
        return needed + max(growing, len(work.rows)) <= self.pool.num_free

    def _place(self, group: Group, thread: Thread, later: deque[Group], work: Pass) -> bool:
        """Add a row for `thread`; False where there is no room for it, nor for any that comes after it."""
        source, begin = None, thread.stored
        found: tuple[list[int], list[int]] = ([], [])
        if not thread.blocks:
            found = self.pool.prefixes.find(thread.tokens)
            if not found[0] and self._follows(thread, work):
                return True
            source, begin = self._source(group, thread, work)
            if begin <= len(found[0]) * self.pool.block_size:
                source, begin = None, len(found[0]) * self.pool.block_size
        end = min(len(thread.tokens), begin + self._tokens_left(work))
        if end <= begin:
            return True
        if source is None and not thread.blocks:
            self._attach(group, thread, *found)
        partial = self._take_from(source, group, thread, begin) if source else None
        missing = self.pool.blocks_for(end) - len(thread.blocks)
        if not self._make_room(missing, group, thread, later, work):
            if not thread.stored:
                self.release(group, thread)
            return False
        if not thread.stored and not source and group.passes == 0:
            group.cached_tokens = begin
        self._grow(group, thread, missing)
        if source and partial is not None:
            self._split(source, partial, thread.blocks[begin // self.pool.block_size], begin, work)
        work.rows[thread] = Row(group, thread, begin, end, source is not None)
        work.tokens += end - begin
        return True

    def _tokens_left(self, work: Pass) -> int:
        """How many tokens the next row may have: the limit's rest without what single tokens need; at least one
        in an empty pass.
        """
        left = self.max_tokens - work.tokens - (work.reserved or 0)
        return left if work.rows else max(left, 1)

    def _follows(self, thread: Thread, work: Pass) -> bool:
        """Whether to wait a pass, because another new path with the same first block is being computed in it."""
        size = self.pool.block_size
        if len(thread.path) > 1 or len(thread.tokens) <= size:
            return False
        opening = tuple(thread.tokens[:size])
        if opening in work.openings:
            return True
        work.openings.add(opening)
        return False

    def _source(self, group: Group, thread: Thread, work: Pass) -> tuple[Thread | None, int]:
        """The thread that stores most of this one's path, and how many tokens of it can be taken over.

        For a new child that is its parent, with all but the `[Child]`: nothing is prefilled again. Tokens
        that are written in this very pass count, since a pass writes all keys before it reads any.
        """
        best: tuple[Thread | None, int] = (None, 0)
        for other in group.threads:
            row = work.rows.get(other)
            stored = row.end if row else other.stored
            if other is thread or not stored:
                continue
            length = min(thread.common(other), stored, len(thread.tokens) - 1)
            if row and row.attached:
                # Its own partial block is put together in this pass and cannot be copied yet.
                length -= length % self.pool.block_size
            if length > best[1]:
                best = (other, length)
        return best

    def _take_from(self, source: Thread, group: Group, thread: Thread, length: int) -> int | None:
        """Share the full blocks of the first `length` tokens; return the partly filled one after them, if any."""
        whole, rest = divmod(length, self.pool.block_size)
        self._attach(group, thread, source.blocks[:whole], source.places[:whole])
        return source.blocks[whole] if rest else None

    def _attach(self, group: Group, thread: Thread, blocks: list[int], places: list[int]) -> None:
        self.pool.share(blocks)
        thread.blocks, thread.places = list(blocks), list(places)
        group.holders.update(blocks)

    def _grow(self, group: Group, thread: Thread, count: int) -> None:
        if count > 0:
            blocks = self.pool.allocate(count)
            thread.blocks += blocks
            group.holders.update(blocks)
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
            work.mirrors.append(DuplicateWrite(source, index, slot))

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
        held = any(thread.blocks for thread in threads)
        self.preemptions += held
        group.preemptions += held
        for thread in threads:
            self.release(group, thread)


def _singles(groups: Sequence[Group], work: Pass) -> int:
    """How many threads have yet to be placed that are fed one token for their next."""
    return sum(
        not thread.ahead and bool(thread.blocks) and len(thread.tokens) - thread.stored == 1 and thread not in work.rows
        for group in groups
        for thread in group.threads
    )


def _in_order(groups: Sequence[Group]) -> Sequence[Group]:
    """By priority, and in order of arrival; before them those that were passed over too often."""
    if not any(group.params.priority or group.passed_over >= STARVATION_LIMIT for group in groups):
        return groups
    return sorted(groups, key=lambda group: (group.passed_over < STARVATION_LIMIT, -group.params.priority))
