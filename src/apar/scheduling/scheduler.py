"""What runs in the next forward pass, and in which blocks. Plain data: no tensor is touched here."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from apar.decoding.group import Group, Thread
from apar.errors import RunError
from apar.scheduling.blocks import BlockPool
from apar.scheduling.draft import Draft
from apar.scheduling.growth import GrowthEstimator, blocks_needed
from apar.scheduling.prefix_cache import EMPTY_PREFIX

_BLOCKS_OF_A_CHILD = 2
"""Blocks that a new child takes at most: its copy of its parent's partial block, and one more."""

STARVATION_LIMIT = 256
"""Passes in a row that may go by without a row of a group; then it comes before all others, once."""


@dataclass(slots=True)
class Row:
    """A thread that is run. It is fed the tokens of its path from index `begin` to `end` (exclusive), and a draft.

    `tokens` are all that is fed. Their keys and values go to successive slots of the thread's blocks, from slot
    `begin` on. A `source` is another thread from which it took its first blocks in this pass.
    """

    group: Group
    thread: Thread
    begin: int
    end: int
    source: Thread | None = None
    draft: Draft | None = None
    tokens: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = self.thread.decoded[self.begin : self.end]
        if self.draft is not None:
            self.tokens += self.draft.tokens

    @property
    def length(self) -> int:
        """How many tokens are fed."""
        return len(self.tokens)

    @property
    def num_drafts(self) -> int:
        """How many of them are draft tokens."""
        return len(self.tokens) - (self.end - self.begin)

    @property
    def filled(self) -> int:
        """How many slots of the thread's blocks are filled after the pass."""
        return self.begin + len(self.tokens)

    @property
    def positions(self) -> Sequence[int]:
        """The path position of each token: for draft tokens, by their depth in the tree of candidates."""
        path = range(self.begin, self.end)
        return path if self.draft is None else [*path, *(self.end + depth for depth in self.draft.depths)]

    @property
    def sampled(self) -> bool:
        """Whether the path ends in this pass: a token is sampled behind it. If not, the rest follows."""
        return self.end == self.thread.length


@dataclass(frozen=True, slots=True)
class DuplicateWrite:
    """The token that `thread` is fed in this pass at path index `index` is also written to `slot`."""

    thread: Thread
    index: int
    slot: int


@dataclass(slots=True)
class Pass:
    """One forward pass. `copies` (from block, to block) come first: all are read before any is written.

    `tokens` are fed in all; of the limit `reserved_decode_tokens` are for threads that are fed a single token and
    have not been placed yet (None: nobody asked so far), and `reserved_draft_tokens` for drafts. `new_prefixes` are
    the first blocks of new paths that are being computed in this pass.
    """

    rows: dict[Thread, Row] = field(default_factory=dict)
    copies: list[tuple[int, int]] = field(default_factory=list)
    duplicate_writes: list[DuplicateWrite] = field(default_factory=list)
    tokens: int = 0
    reserved_decode_tokens: int | None = None
    reserved_draft_tokens: int = 0
    new_prefixes: set[tuple[int, ...]] = field(default_factory=set)

    def groups(self) -> list[Group]:
        return list({row.group.number: row.group for row in self.rows.values()}.values())


@dataclass(slots=True)
class Scheduler:
    """Fills passes by priority and then in order of arrival, and within a group in path order.

    A group that got no row in `STARVATION_LIMIT` passes comes first, once. At most `max_rows` threads run in a pass,
    with `max_tokens` tokens: a longer prompt is fed in chunks, beside the threads that are fed one token. Where a
    request wants few threads at the same time, those of its threads that have no row yet in a logical step get theirs
    in path order: a child after its parent, from which it takes over all but its `[Child]`. A child that waits
    holds no blocks.

    When blocks are short, the last group gives all of its blocks back, and where there is only one group, its
    last thread does. They are recomputed when there is room again, so that the answer stays the same. So it is where
    at most `max_holding` threads may hold blocks (None: any number); `holding` are those that do.

    Drafts get the tokens of the limit that paths leave, and free blocks; prompts leave them up to half of the limit.
    A draft is cut where there is no room for it: nothing is preempted for it. With drafts threads advance at different
    speeds: those that have `run_ahead` tokens ahead at most, and children started early, get what rows and blocks are
    left when every thread without a token has its row.
    """

    pool: BlockPool
    max_rows: int
    max_tokens: int
    run_ahead: int = 0
    preemptions: int = 0
    growth: GrowthEstimator = field(default_factory=GrowthEstimator)
    max_holding: int | None = None
    holding: set[Thread] = field(default_factory=set)

    def plan(self, groups: Sequence[Group], alone: bool = False, drafts: Mapping[Thread, Draft] | None = None) -> Pass:
        """The next pass; it has a row whenever a group is unfinished. `groups` are in order of arrival.

        With `alone`, only the first group gets rows, and the others at most give their blocks to it. `drafts` are
        verified for the threads whose path ends in the pass, as far as there is room for them.
        """
        work = Pass()
        if drafts:
            wanted = sum(len(draft) for thread, draft in drafts.items() if thread.blocks)
            work.reserved_draft_tokens = min(wanted, self.max_tokens // 2)
        ordered = groups if alone else _in_order(groups)
        chosen = ordered[:1] if alone else ordered
        later = deque(group for group in ordered if group.holders)
        closed = False
        for group in chosen:
            if later and later[0] is group:
                later.popleft()
            if work.rows and not group.holders and (closed or not self._may_enter(group, chosen, later, work)):
                # Nobody overtakes it, but those that are in go on.
                closed = True
                continue
            if not self._place_group(group, chosen, later, work):
                break
        if self.run_ahead:
            self._place_ahead(chosen, work)
        if drafts:
            self._add_drafts(work, drafts)
        return work

    def _place_ahead(self, groups: Sequence[Group], work: Pass) -> None:
        """Add rows for threads that have tokens ahead, and for children started early, as far as there is room."""
        for group in groups:
            if not group.holders or group.params.max_parallel_threads is not None:
                continue
            for thread in group.decoding:
                if len(work.rows) >= self.max_rows or work.tokens + 2 > self.max_tokens:
                    return
                if thread not in work.rows and self._may_run_ahead(group, thread):
                    self._place(group, thread, deque(), work)

    def _may_run_ahead(self, group: Group, thread: Thread) -> bool:
        """Whether a thread is to get more tokens than it has ahead, and needs nobody's blocks for them."""
        if not thread.ahead and thread not in group.early:
            return False
        if not thread.blocks:
            return _is_new_child(group, thread) and self.pool.num_free >= _BLOCKS_OF_A_CHILD
        missing = self.pool.blocks_for(thread.length) - len(thread.blocks)
        most = min(self.run_ahead, group.budget)
        return thread.stored < thread.length and missing <= self.pool.num_free and not _is_full(group, thread, most)

    def _place_group(self, group: Group, chosen: Sequence[Group], later: deque[Group], work: Pass) -> bool:
        """Add rows for a group's threads; whether there may be room for more groups."""
        size = self.pool.block_size
        most = _most_rows(group, len(work.rows))
        for thread in group.threads:
            if thread.ahead:
                continue
            if len(work.rows) >= self.max_rows:
                return False
            if most is not None and len(work.rows) >= most:
                return True
            stored = thread.stored
            if thread.length - stored == 1 and thread.blocks:
                if work.reserved_decode_tokens:
                    work.reserved_decode_tokens -= 1
                # The common case first: one token, and room for it in the thread's last block.
                if stored % size and work.tokens < self.max_tokens:
                    work.rows[thread] = Row(group, thread, stored, stored + 1)
                    work.tokens += 1
                    continue
            else:
                self._reserve(group, thread, chosen, work)
            if not self._place(group, thread, later, work):
                return False
        return True

    def _reserve(self, group: Group, thread: Thread, chosen: Sequence[Group], work: Pass) -> None:
        """Before a thread that is fed more than its newest token: keep tokens for those that are fed just one."""
        if work.reserved_decode_tokens is None:
            singles = sum(_num_singles(other, thread, work) for other in chosen)
            work.reserved_decode_tokens = min(singles, self.max_rows - len(work.rows) - 1)
        elif work.reserved_decode_tokens and _is_new_child(group, thread):
            work.reserved_decode_tokens -= 1

    def _add_drafts(self, work: Pass, drafts: Mapping[Thread, Draft]) -> None:
        """Let the rows whose path ends have their drafts, cut to the room that is left."""
        for thread, row in work.rows.items():
            draft = drafts.get(thread)
            if draft is None or not row.sampled:
                continue
            slots = (len(thread.blocks) + self.pool.num_free) * self.pool.block_size
            room = min(self.max_tokens - work.tokens, min(slots, row.group.context) - row.end)
            if room < 1:
                continue
            row.draft = draft.first(room)
            row.tokens += row.draft.tokens
            work.tokens += row.num_drafts
            self._grow(row.group, thread, self.pool.blocks_for(row.filled) - len(thread.blocks))

    def commit(
        self, work: Pass, groups: Sequence[Group] = (), accepted: Mapping[Thread, Sequence[int]] | None = None
    ) -> list[tuple[int, int]]:
        """The pass has run: what was fed of the paths is stored. `groups` are all those that are unfinished.

        Of a thread's draft the `accepted` token numbers stay, each the parent of the next; blocks that only the
        rest needed are freed. Returns the slots (from, to) whose keys and values have to be moved before the next
        pass. Raises RunError where accepted tokens are no branch of the draft.
        """
        moves = []
        for thread, row in work.rows.items():
            thread.stored = row.end
            if row.draft is not None:
                moves += self._keep_accepted(row, row.draft, tuple((accepted or {}).get(thread, ())))
            # What a child that was started early begins with may never count, and be written over.
            if thread.stored >= (len(thread.prefix_nodes) + 1) * self.pool.block_size and thread not in row.group.early:
                self._index(thread)
        for group in groups:
            group.passes_skipped += 1
        for group in work.groups():
            group.passes += 1
            group.passes_skipped = 0
        return moves

    def _keep_accepted(self, row: Row, draft: Draft, nodes: tuple[int, ...]) -> list[tuple[int, int]]:
        """Store draft tokens right behind the path, and free the blocks after them; return what has to be moved."""
        if not draft.is_branch(nodes):
            raise RunError(f"the tokens {nodes} of a draft of {row.group.name} do not follow one another")
        thread, size = row.thread, self.pool.block_size
        slots = [thread.blocks[index // size] * size + index % size for index in range(row.end, row.end + len(draft))]
        thread.stored = row.end + len(nodes)
        self._trim(row.group, thread)
        return [(slots[node], slots[number]) for number, node in enumerate(nodes) if node != number]

    def abandon(self, work: Pass) -> None:
        """The pass has failed: whatever its threads stored is recomputed."""
        for row in work.rows.values():
            self.release(row.group, row.thread)

    def release(self, group: Group, thread: Thread) -> None:
        """Give the thread's blocks back; those that it shares stay with the others."""
        self._release_blocks(group, thread.blocks)
        thread.blocks, thread.stored, thread.prefix_nodes = [], 0, []
        self.holding.discard(thread)

    def _release_blocks(self, group: Group, blocks: Sequence[int]) -> None:
        self.pool.release(blocks)
        for block in blocks:
            group.holders[block] -= 1
            if not group.holders[block]:
                del group.holders[block]

    def feed_again(self, group: Group, thread: Thread) -> None:
        """Have the last token of a thread's path fed once more, for its logits. A block that others hold now is not
        written again: then the thread begins anew behind what the prefix cache has. (Who finds it later has the same
        tokens in it, and so the same keys and values.)
        """
        last = thread.length - 1
        if thread.stored > last:
            if self.pool.num_holders(thread.blocks[last // self.pool.block_size]) > 1:
                self.release(group, thread)
            else:
                thread.stored = last
                self._trim(group, thread)

    def take_back(self, group: Group, thread: Thread, kept: int) -> None:
        """A thread's path is another one behind its first `kept` tokens: what is stored behind them does not count.

        A block that others hold now is not written again, and nobody finds what was in one that is.
        """
        if thread.stored <= kept:
            return
        whole, rest = divmod(kept, self.pool.block_size)
        if rest and self.pool.num_holders(thread.blocks[whole]) > 1:
            kept = whole * self.pool.block_size
        elif rest:
            self.pool.forget([thread.blocks[whole]])
        thread.stored = kept
        del thread.prefix_nodes[whole:]
        self._trim(group, thread)

    def _trim(self, group: Group, thread: Thread) -> None:
        """Give back the blocks behind what the thread stores."""
        kept = self.pool.blocks_for(thread.stored)
        self._release_blocks(group, thread.blocks[kept:])
        del thread.blocks[kept:]

    def _index(self, thread: Thread) -> None:
        """Let later requests find the thread's new full blocks; not what is ahead of its path, which may not count."""
        size = self.pool.block_size
        for number in range(len(thread.prefix_nodes), min(thread.stored, len(thread.tokens)) // size):
            node = thread.prefix_nodes[-1] if thread.prefix_nodes else EMPTY_PREFIX
            tokens = thread.tokens[number * size : (number + 1) * size]
            thread.prefix_nodes.append(self.pool.prefixes.add(node, tokens, thread.blocks[number]))

    def _may_enter(self, group: Group, groups: Sequence[Group], later: Sequence[Group], work: Pass) -> bool:
        """Whether a group without blocks fits beside those that have some, and beside what these will grow by.

        `later` groups of lower priority make room for it: what they hold counts as free.
        """
        lower = {other for other in later if other.params.priority < group.params.priority}
        if self.max_holding is not None:
            staying_threads = sum(len(other.threads) for other in groups if other.holders and other not in lower)
            if staying_threads + len(group.threads) > self.max_holding:
                return False
        needed = blocks_needed(group, self.pool)
        staying = [other for other in groups if other.holders and other not in lower]
        growing = sum(self.growth.estimate(other, self.pool) for other in staying)
        return needed + max(growing, len(work.rows)) <= self.pool.num_free + self._reclaimable(lower, group)

    def _reclaimable(self, lower: Collection[Group], group: Group) -> int:
        """How many blocks nobody but `lower` groups holds, without those that `group` would take over."""
        if not lower:
            return 0
        holders: Counter[int] = Counter()
        for other in lower:
            holders.update(other.holders)
        found, _ = self.pool.prefixes.find(group.threads[0].tokens)
        return sum(count == self.pool.num_holders(block) for block, count in holders.items() if block not in found)

    def _place(self, group: Group, thread: Thread, later: deque[Group], work: Pass) -> bool:
        """Add a row for `thread`; False where there is no room for it, nor for any that comes after it."""
        source, begin = None, thread.stored
        found: tuple[list[int], list[int]] = ([], [])
        if not thread.blocks:
            found = self.pool.prefixes.find(thread.decoded)
            if not found[0] and self._follows(thread, work):
                return True
            source, begin = self._source(group, thread, work)
            if begin <= len(found[0]) * self.pool.block_size:
                source, begin = None, len(found[0]) * self.pool.block_size
        end = min(thread.length, begin + self._tokens_left(work))
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
        self.holding.add(thread)
        if not thread.stored and not source and group.passes == 0:
            group.cached_tokens = begin
        self._grow(group, thread, missing)
        if source and partial is not None:
            self._split(source, partial, thread.blocks[begin // self.pool.block_size], begin, work)
        work.rows[thread] = Row(group, thread, begin, end, source)
        work.tokens += end - begin
        return True

    def _tokens_left(self, work: Pass) -> int:
        """How many tokens the next row may have: the limit's rest without what single tokens and drafts need; at
        least one in an empty pass.
        """
        left = self.max_tokens - work.tokens - (work.reserved_decode_tokens or 0) - work.reserved_draft_tokens
        return left if work.rows else max(left, 1)

    def _follows(self, thread: Thread, work: Pass) -> bool:
        """Whether to wait a pass, because another new path with the same first block is being computed in it."""
        size = self.pool.block_size
        if len(thread.path) > 1 or thread.length <= size:
            return False
        prefix = tuple(thread.decoded[:size])
        if prefix in work.new_prefixes:
            return True
        work.new_prefixes.add(prefix)
        return False

    def _source(self, group: Group, thread: Thread, work: Pass) -> tuple[Thread | None, int]:
        """The thread that stores most of this one's path, and how many tokens of it can be taken over.

        For a new child that is its parent, with all but the `[Child]`: nothing is prefilled again. Tokens
        that are written in this very pass count, since a pass writes all keys before it reads any.
        """
        best: tuple[Thread | None, int] = (None, 0)
        for other in group.decoding:
            row = work.rows.get(other)
            stored = row.end if row else other.stored
            if other is thread or not stored:
                continue
            length = min(thread.common(other), stored, thread.length - 1)
            if row and row.source:
                # Its own partial block is put together in this pass and cannot be copied yet.
                length -= length % self.pool.block_size
            if length > best[1]:
                best = (other, length)
        return best

    def _take_from(self, source: Thread, group: Group, thread: Thread, length: int) -> int | None:
        """Share the full blocks of the first `length` tokens; return the partly filled one after them, if any."""
        whole, rest = divmod(length, self.pool.block_size)
        self._attach(group, thread, source.blocks[:whole], source.prefix_nodes[:whole])
        return source.blocks[whole] if rest else None

    def _attach(self, group: Group, thread: Thread, blocks: list[int], nodes: list[int]) -> None:
        self.pool.share(blocks)
        thread.blocks, thread.prefix_nodes = list(blocks), list(nodes)
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
            work.duplicate_writes.append(DuplicateWrite(source, index, slot))

    def _make_room(self, count: int, group: Group, thread: Thread, later: deque[Group], work: Pass) -> bool:
        """Preempt `later` groups, then own threads, until there is room for `count` blocks; whether there is."""
        for victim in reversed(later):
            if self._has_room(count, thread):
                return True
            self._preempt(victim, victim.decoding)
        for own in reversed(group.decoding):
            if self._has_room(count, thread):
                return True
            if own is not thread and own not in work.rows:
                self._preempt(group, [own])
        return self._has_room(count, thread)

    def _has_room(self, count: int, thread: Thread) -> bool:
        """Whether a thread may hold `count` blocks more."""
        full = self.max_holding is not None and thread not in self.holding and len(self.holding) >= self.max_holding
        return self.pool.num_free >= count and not full

    def _preempt(self, group: Group, threads: Sequence[Thread]) -> None:
        held = any(thread.blocks for thread in threads)
        self.preemptions += held
        group.preemptions += held
        for thread in threads:
            self.release(group, thread)


def _is_full(group: Group, thread: Thread, most: int) -> bool:
    """Whether nothing may be sampled behind what a thread has ahead: it has ended, or has enough."""
    if not thread.ahead:
        return False
    return len(thread.ahead) >= most or thread.ahead[-1].token in group.eos or thread.length >= group.context


def _most_rows(group: Group, before: int) -> int | None:
    """How many rows a pass that has some `before` may have with those of the group; None is any number."""
    limit = group.params.max_parallel_threads
    return None if limit is None else before + limit


def _num_singles(group: Group, placing: Thread, work: Pass) -> int:
    """How many threads of a group, apart from the one that is being placed, will be fed one token in the pass."""
    singles = sum(_is_single(group, thread, work) for thread in group.threads if thread is not placing)
    limit = group.params.max_parallel_threads
    if limit is None or not singles:
        return singles
    return min(singles, limit - sum(thread is placing or thread in work.rows for thread in group.threads))


def _is_single(group: Group, thread: Thread, work: Pass) -> bool:
    """Whether a thread that has yet to be placed is fed one token for its next."""
    if thread.ahead or thread in work.rows:
        return False
    return thread.length - thread.stored == 1 if thread.blocks else _is_new_child(group, thread)


def _is_new_child(group: Group, thread: Thread) -> bool:
    """Whether a thread without blocks takes over all but its `[Child]` from another one."""
    shared = thread.length - 1
    return (
        not thread.blocks
        and bool(group.holders)
        and thread.starts[-1] == thread.length
        and any(
            # Its `[Fork]` may be fed in the same pass.
            other is not thread and other.stored >= shared - 1 and thread.common(other) == shared
            for other in group.decoding
        )
    )


def _in_order(groups: Sequence[Group]) -> Sequence[Group]:
    """By priority, and in order of arrival; before them those that were skipped too often."""
    if not any(group.params.priority or group.passes_skipped >= STARVATION_LIMIT for group in groups):
        return groups
    return sorted(groups, key=lambda group: (group.passes_skipped < STARVATION_LIMIT, -group.params.priority))
