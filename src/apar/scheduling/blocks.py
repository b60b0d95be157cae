"""Reference counts of the key-value blocks, and what they hold. Block numbers only: the tensors live in `cache`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from apar.errors import RunError
from apar.scheduling.prefix_cache import PrefixCache


class BlockPool:
    """`num_blocks` blocks of `block_size` tokens each.

    A block that several threads hold is full and never written again; a partly filled block has one holder.
    A full block whose last holder lets go stays findable by `prefixes` until its place is needed: the block
    let go first is taken first.
    """

    __slots__ = ("_counts", "_free", "_idle", "block_size", "num_blocks", "prefixes")

    def __init__(self, num_blocks: int, block_size: int) -> None:
        self.num_blocks = num_blocks
        self.block_size = block_size
        self.prefixes = PrefixCache(block_size)
        self._counts = [0] * num_blocks
        self._free = list(reversed(range(num_blocks)))
        self._idle: dict[int, None] = {}

    @property
    def num_free(self) -> int:
        """Blocks that can be allocated: those with nothing in them, and those that are only kept."""
        return len(self._free) + len(self._idle)

    @property
    def num_kept(self) -> int:
        """Blocks that nobody holds and whose content can still be found."""
        return len(self._idle)

    def held(self, block: int) -> bool:
        return self._counts[block] > 0

    def num_holders(self, block: int) -> int:
        return self._counts[block]

    def blocks_for(self, tokens: int) -> int:
        """How many blocks hold this many tokens."""
        return -(-tokens // self.block_size)

    def allocate(self, count: int) -> list[int]:
        """Take `count` free blocks. The caller has seen that there are so many."""
        taken = [self._free.pop() if self._free else self._evict() for _ in range(count)]
        for block in taken:
            self._counts[block] = 1
        return taken

    def _evict(self) -> int:
        block = next(iter(self._idle))
        del self._idle[block]
        self.prefixes.forget(block)
        return block

    def share(self, blocks: Iterable[int]) -> None:
        """Count one more holder of each block."""
        for block in blocks:
            if not self._counts[block]:
                del self._idle[block]
            self._counts[block] += 1

    def release(self, blocks: Sequence[int]) -> None:
        """Count one holder less of each block. Raises RunError for a block that is free already."""
        # The end of a path first: what many paths begin with is kept longest.
        for block in reversed(blocks):
            if not self._counts[block]:
                raise RunError(f"block {block} is freed twice")
            self._counts[block] -= 1
            if not self._counts[block]:
                self._let_go(block)

    def _let_go(self, block: int) -> None:
        if self.prefixes.knows(block):
            self._idle[block] = None
        else:
            self._free.append(block)

    def forget(self, blocks: Iterable[int]) -> None:
        """Let nobody find these blocks any more; they stay with those who hold them."""
        for block in blocks:
            self.prefixes.forget(block)
            if block in self._idle:
                del self._idle[block]
                self._free.append(block)

    def check(self, tables: Iterable[Sequence[int]]) -> None:
        """Raise RunError unless every count is the number of `tables` with the block and the rest is free."""
        held = Counter(block for table in tables for block in table)
        counts = {block: count for block, count in enumerate(self._counts) if count}
        if counts != held:
            raise RunError(f"block counts {counts} differ from the tables that hold the blocks {dict(held)}")
        if sorted([*self._free, *self._idle, *held]) != list(range(self.num_blocks)):
            raise RunError("free, kept and held blocks together are not all blocks, each once")
        if unknown := [block for block in self._idle if not self.prefixes.knows(block)]:
            raise RunError(f"block {unknown[0]} is kept and cannot be found")
