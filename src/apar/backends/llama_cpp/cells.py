"""Which sequence of llama.cpp has the cells of which thread, and of which block that a later prompt may begin with.

The scheduler counts blocks; llama.cpp has cells, of which several sequences may have the same one. A block of ours is
so many cells that llama.cpp finds itself: what the scheduler copies or writes twice is shared here, so that there are
never more cells in use than slots of blocks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from apar.decoding.group import Thread
from apar.errors import RunError
from apar.scheduling.blocks import BlockPool
from apar.scheduling.scheduler import Pass, Row

TO_THE_END = -1


class Memory(Protocol):
    """llama.cpp's KV cache; a range of positions ends before `end`, or with `TO_THE_END` nowhere."""

    def share(self, source: int, target: int, begin: int, end: int) -> None:
        """Let sequence `target` have the cells of sequence `source` too."""

    def remove(self, sequence: int, begin: int, end: int) -> None:
        """Take cells from a sequence: those that no other one has are free."""


class CellPool(BlockPool):
    """A pool that notes which blocks are not to be found any more: their cells are to be given back."""

    __slots__ = ("_lost",)

    def __init__(self, num_blocks: int, block_size: int) -> None:
        super().__init__(num_blocks, block_size)
        self._lost: list[int] = []

    def keeps(self, block: int) -> bool:
        """Whether nobody holds the block and what is in it can still be found."""
        return block in self._idle

    def take_lost(self) -> list[int]:
        """The blocks that can be found no more since this was last asked."""
        lost, self._lost = self._lost, []
        return lost

    def forget(self, blocks: Iterable[int]) -> None:
        """Let nobody find these blocks any more; they stay with those who hold them."""
        gone = list(blocks)
        self._lost += gone
        super().forget(gone)

    def _evict(self) -> int:
        block = super()._evict()
        self._lost.append(block)
        return block


@dataclass(slots=True)
class TokenBatch:
    """The tokens of a pass as llama.cpp is fed them; each has the sequences that it belongs to."""

    tokens: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    sequences: list[list[int]] = field(default_factory=list)
    wanted: list[int] = field(default_factory=list)
    """The numbers of the tokens whose logits are wanted, in rising order."""

    def add(self, token: int, position: int, sequence: int) -> int:
        """Its number in the batch."""
        self.tokens.append(token)
        self.positions.append(position)
        self.sequences.append([sequence])
        return len(self.tokens) - 1


@dataclass(slots=True, eq=False)
class _Sequence:
    """A thread's sequence: it has the cells of the first `stored` tokens of the path, whose blocks are `blocks`."""

    number: int
    blocks: list[int] = field(default_factory=list)
    stored: int = 0


@dataclass(slots=True, eq=False)
class _Keeper:
    """A sequence whose thread has let go: it has the cells of blocks that are kept, each with its place in the path."""

    number: int
    places: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Fed:
    """What a thread's sequence is fed in the pass, from position `begin` on: token numbers in the batch."""

    begin: int
    tokens: list[int]


class CellManager:
    """Gives the threads of the scheduler's passes sequences of llama.cpp, and keeps the cells of idle blocks.

    At most `max_threads` threads hold blocks at a time, and there are three times as many sequences: while a pass is
    laid out, threads that have just let go may still be what others begin with.
    """

    def __init__(self, memory: Memory, pool: CellPool, holding: Collection[Thread], max_threads: int) -> None:
        """`holding` are always the threads that hold blocks."""
        self._memory, self._pool, self._holding = memory, pool, holding
        self._max_keepers = max_threads
        self._free = list(reversed(range(sequences_for(max_threads))))
        self._of: dict[Thread, _Sequence] = {}
        # Sequences of threads that lost their blocks and were placed again in one pass.
        self._left: list[_Sequence] = []
        self._holders: defaultdict[int, set[_Sequence]] = defaultdict(set)
        self._kept: dict[int, _Keeper] = {}
        self._keepers: dict[_Keeper, None] = {}

    @property
    def num_used(self) -> int:
        """Sequences that have cells."""
        return len(self._of) + len(self._left) + len(self._keepers)

    def lay_out(self, work: Pass) -> TokenBatch:
        """The batch of a pass, for which new threads get their sequences; then `ran` or `settle` is to be called."""
        self._drop_lost()
        batch = TokenBatch()
        fed: dict[_Sequence, _Fed] = {}
        for thread, row in work.rows.items():
            self._feed(row, self._sequence_of(thread, row, fed, batch), fed, batch)
        self._end_released()
        return batch

    def ran(self, work: Pass) -> None:
        """The pass has run: its tokens have their cells."""
        for thread, row in work.rows.items():
            self._of[thread].stored = row.end

    def settle(self) -> None:
        """Give back the cells of all that threads do not store any more."""
        self._drop_lost()
        self._end_released()
        for thread, sequence in self._of.items():
            if thread.stored < sequence.stored:
                self._trim(thread, sequence)
        while len(self._keepers) > self._max_keepers:
            self._pool.forget(list(next(iter(self._keepers)).places))
            self._drop_lost()

    def _sequence_of(self, thread: Thread, row: Row, fed: dict[_Sequence, _Fed], batch: TokenBatch) -> _Sequence:
        found = self._of.get(thread)
        if found is not None and thread.stored:
            return found
        if found is not None:
            self._left.append(found)
        sequence = _Sequence(self._take_number())
        if row.source is not None:
            self._follow(sequence, row.begin, self._of[row.source], fed, batch)
        else:
            self._take_over(sequence, thread.blocks[: row.begin // self._pool.block_size])
        self._of[thread] = sequence
        return sequence

    def _follow(
        self, sequence: _Sequence, begin: int, source: _Sequence, fed: dict[_Sequence, _Fed], batch: TokenBatch
    ) -> None:
        """Begin with the first `begin` tokens of another thread, some of which may be fed in this very pass."""
        shared = fed.get(source, _Fed(source.stored, []))
        sequence.stored = min(begin, shared.begin)
        self._memory.share(source.number, sequence.number, 0, sequence.stored)
        tokens = shared.tokens[: begin - sequence.stored]
        for number in tokens:
            batch.sequences[number].append(sequence.number)
        fed[sequence] = _Fed(sequence.stored, tokens)

    def _take_over(self, sequence: _Sequence, blocks: Sequence[int]) -> None:
        """Begin with whole blocks that were found, wherever their cells are."""
        size = self._pool.block_size
        begin = 0
        while begin < len(blocks):
            source = self._source(blocks[begin])
            end = begin + 1
            while end < len(blocks) and self._source(blocks[end]) is source:
                end += 1
            self._memory.share(source.number, sequence.number, begin * size, end * size)
            if isinstance(source, _Keeper):
                self._memory.remove(source.number, begin * size, end * size)
                for block in blocks[begin:end]:
                    del self._kept[block], source.places[block]
                self._end_empty(source)
            begin = end
        sequence.stored = len(blocks) * size

    def _source(self, block: int) -> _Keeper | _Sequence:
        """Who has the cells of a block that can be found."""
        return self._kept.get(block) or next(iter(self._holders[block]))

    def _feed(self, row: Row, sequence: _Sequence, fed: dict[_Sequence, _Fed], batch: TokenBatch) -> None:
        own = fed.setdefault(sequence, _Fed(sequence.stored, []))
        for position, token in enumerate(row.tokens, row.begin):
            own.tokens.append(batch.add(token, position, sequence.number))
        if row.sampled:
            batch.wanted.append(len(batch.tokens) - 1)
        blocks = row.thread.blocks
        for block in blocks[len(sequence.blocks) :]:
            self._holders[block].add(sequence)
        sequence.blocks += blocks[len(sequence.blocks) :]

    def _take_number(self) -> int:
        if not self._free:
            raise RunError("llama.cpp has no sequence left for another thread")
        return self._free.pop()

    def _end_released(self) -> None:
        """End the sequences of threads that hold no blocks any more."""
        for thread in [thread for thread in self._of if thread not in self._holding]:
            self._left.append(self._of.pop(thread))
        for sequence in self._left:
            self._end(sequence)
        self._left.clear()

    def _end(self, sequence: _Sequence) -> None:
        """Remove a sequence, but for the cells of blocks that are kept and that nobody else has."""
        keeper = _Keeper(sequence.number)
        for place, block in enumerate(sequence.blocks):
            self._let_go(block, sequence)
            if not self._pool.keeps(block) or block in self._kept or self._holders[block]:
                continue
            if (place + 1) * self._pool.block_size <= sequence.stored:
                keeper.places[block], self._kept[block] = place, keeper
            else:
                self._pool.forget([block])
        self._remove_rest(keeper)
        self._keepers[keeper] = None
        self._end_empty(keeper)

    def _remove_rest(self, keeper: _Keeper) -> None:
        """Remove all cells of a keeper's sequence but those of its blocks."""
        size, begin = self._pool.block_size, 0
        for place in keeper.places.values():
            if begin < place * size:
                self._memory.remove(keeper.number, begin, place * size)
            begin = (place + 1) * size
        self._memory.remove(keeper.number, begin, TO_THE_END)

    def _trim(self, thread: Thread, sequence: _Sequence) -> None:
        """Remove the cells behind what a thread stores."""
        self._memory.remove(sequence.number, thread.stored, TO_THE_END)
        sequence.stored = thread.stored
        for block in sequence.blocks[len(thread.blocks) :]:
            self._let_go(block, sequence)
            if self._pool.keeps(block) and block not in self._kept and not self._holders[block]:
                self._pool.forget([block])
        del sequence.blocks[len(thread.blocks) :]

    def _let_go(self, block: int, sequence: _Sequence) -> None:
        self._holders[block].discard(sequence)

    def _drop_lost(self) -> None:
        """Remove the cells of blocks that can be found no more."""
        size = self._pool.block_size
        for block in self._pool.take_lost():
            keeper = self._kept.pop(block, None)
            if keeper is not None:
                place = keeper.places.pop(block)
                self._memory.remove(keeper.number, place * size, (place + 1) * size)
                self._end_empty(keeper)

    def _end_empty(self, keeper: _Keeper) -> None:
        if not keeper.places:
            del self._keepers[keeper]
            self._free.append(keeper.number)


def sequences_for(max_threads: int) -> int:
    """How many sequences llama.cpp must have where so many threads hold blocks at a time."""
    return 3 * max_threads
