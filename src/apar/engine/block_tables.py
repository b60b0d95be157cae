"""Block tables: where the paths of a pass lie in the cache, for kernels that read the blocks in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from apar.engine.attention import Attention, Layout, PreparedAttention
from apar.engine.scheduler import Row
from apar.engine.transfer import send


@dataclass(frozen=True, slots=True)
class Tables:
    """The rows of a pass as int64 tensors: R rows, paths of at most W blocks.

    `slots` and `written` are those of a `Layout`.
    """

    blocks: Tensor  # [R, W], padded with any block
    ends: Tensor  # [R] path positions after the last token fed
    offsets: Tensor  # [R + 1] where each row's tokens begin in the pass
    slots: Tensor  # [S]
    written: Tensor | None  # [S]


class TableAttention(Attention, Protocol):
    """Attention that reads the blocks in place, and so needs no more than the tables."""

    def over(self, tables: Tables) -> PreparedAttention:
        """Attention over rows that are fed one token each. Its tensors may change between two passes."""
        ...


def make_tables(layout: Layout, device: torch.device) -> Tables:
    """The tables of a pass, sent in one copy."""
    width = max(len(row.thread.blocks) for row in layout.rows)
    blocks, ends, offsets = send(
        (table_numbers(layout.rows, width, 0), [row.end for row in layout.rows], layout.offsets), device
    )
    return Tables(blocks.view(-1, width), ends, offsets, layout.slots, layout.written)


def table_numbers(rows: Sequence[Row], width: int, padding: int) -> list[int]:
    """The rows' block tables one after another, each padded to `width` with the block `padding`."""
    numbers: list[int] = []
    for row in rows:
        blocks = row.thread.blocks
        numbers += blocks
        numbers += [padding] * (width - len(blocks))
    return numbers
