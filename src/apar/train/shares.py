"""Measuring on several processes: each does a share of the batches, and all know the sum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from apar.train.batches import PackedBatch


def summed(batches: Sequence[PackedBatch], measure: Callable[[PackedBatch], Tensor], accelerator: Any) -> Tensor:
    """The sum of `measure` over the batches, the same on every process of the `accelerator`.

    Every process measures equally often, for a sharded model computes on all of them at the same time: where there
    is no batch left for one, it measures the first of the round again, which does not count.
    """
    rank, processes = accelerator.process_index, accelerator.num_processes
    total = None
    for first in range(0, len(batches), processes):
        mine = first + rank
        found = measure(batches[mine if mine < len(batches) else first])
        found = found if mine < len(batches) else found * 0
        total = found if total is None else total + found
    assert total is not None, "there is nothing to measure"
    return total if processes == 1 else accelerator.reduce(total, "sum")
