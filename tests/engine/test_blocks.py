"""Reference counts of the cache's blocks."""

from __future__ import annotations

import pytest

from apar.errors import RunError
from apar.scheduling.blocks import BlockPool


def test_blocks_are_counted_up_to_whole_ones() -> None:
    pool = BlockPool(num_blocks=4, block_size=16)
    assert [pool.blocks_for(tokens) for tokens in (0, 1, 16, 17)] == [0, 1, 1, 2]


def test_a_shared_block_is_free_when_its_last_holder_lets_go() -> None:
    pool = BlockPool(num_blocks=3, block_size=4)
    blocks = pool.allocate(2)
    pool.share(blocks[:1])
    pool.release(blocks)
    assert pool.num_free == 2
    pool.release(blocks[:1])
    assert pool.num_free == 3
    pool.check([])


def test_the_check_accepts_tables_that_share() -> None:
    pool = BlockPool(num_blocks=5, block_size=4)
    first, second, third = pool.allocate(3)
    pool.share([first])
    pool.check([[first, second], [first, third]])


@pytest.mark.parametrize("tables", [[], [[0]], [[0, 1], [1]]])
def test_the_check_finds_lost_and_uncounted_blocks(tables: list[list[int]]) -> None:
    pool = BlockPool(num_blocks=3, block_size=4)
    assert pool.allocate(2) == [0, 1]
    with pytest.raises(RunError, match="differ"):
        pool.check(tables)


def test_a_block_cannot_be_freed_twice() -> None:
    pool = BlockPool(num_blocks=2, block_size=4)
    blocks = pool.allocate(1)
    pool.release(blocks)
    with pytest.raises(RunError, match="freed twice"):
        pool.release(blocks)
