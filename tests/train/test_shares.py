"""Each process measures its share, all as often, and the sum is that of one process."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from apar.train.shares import summed


class Process:
    """One of several: its own sums are kept, and added by the test."""

    def __init__(self, index: int, count: int) -> None:
        self.process_index, self.num_processes = index, count
        self.measured: list[int] = []

    def measure(self, batch: Any) -> Tensor:
        self.measured.append(batch)
        return torch.tensor([float(batch), 1.0])

    def reduce(self, total: Tensor, how: str) -> Tensor:
        assert how == "sum"
        return total


@pytest.mark.parametrize(("batches", "processes"), [(6, 1), (6, 2), (7, 3), (2, 4)])
def test_shares_add_up_and_no_process_measures_all(batches: int, processes: int) -> None:
    all_of = [Process(index, processes) for index in range(processes)]
    numbers: Any = list(range(1, batches + 1))
    sums = torch.stack([summed(numbers, each.measure, each) for each in all_of]).sum(0)
    assert sums.tolist() == [sum(numbers), batches]
    assert {len(each.measured) for each in all_of} == {-(-batches // processes)}
