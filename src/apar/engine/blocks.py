"""Reference counts of the key-value blocks. Block numbers only: the tensors live in `attention`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from apar.errors import RunError


class BlockPool:
    """`num_blocks` blocks of `block_size` tokens each.

    A block that several threads hold is full and never written again; a partly filled block has one holder.
    """

    __slots__ = ("_counts", "_free", "block_size", "num_blocks")

    def __init__(self, num_blocks: int, block_size: int) -> None:
        self.num_blocks = num_blocks
        self.block_size = block_size
        self._counts = [0] * num_blocks
        self._free = list(reversed(range(num_blocks)))

    @property
    def num_free(self) -> int:
        return len(self._free)

    def blocks_for(self, tokens: int) -> int:
        """How many blocks hold this many tokens."""
        return -(-tokens // self.block_size)

    def allocate(self, count: int) -> list[int]:
        """Take `count` free blocks. The caller has seen that there are so many."""
        taken = [self._free.pop() for _ in range(count)]
        for block in taken:
            self._counts[block] = 1
        return taken

    def share(self, blocks: Iterable[int]) -> None:
        """Count one more holder of each block."""
        for block in blocks:
            self._counts[block] += 1

    def release(self, blocks: Iterable[int]) -> int:
        """Count one holder less of each block; return how many became free.

        Raises RunError for a block that is free already.
        """
        before = len(self._free)
        for block in blocks:
            if not self._counts[block]:
                raise RunError(f"block {block} is freed twice")
            self._counts[block] -= 1
            if not self._counts[block]:
                self._free.append(block)
        return len(self._free) - before

    def check(self, tables: Iterable[Sequence[int]]) -> None:
        """Raise RunError unless every count is the number of `tables` with the block and the rest is free."""
        held = Counter(block for table in tables for block in table)
        counts = {block: count for block, count in enumerate(self._counts) if count}
        if counts != held:
            raise RunError(f"block counts {counts} differ from the tables that hold the blocks {dict(held)}")
        if sorted([*self._free, *held]) != list(range(self.num_blocks)):
            raise RunError("free and held blocks together are not all blocks, each once")
