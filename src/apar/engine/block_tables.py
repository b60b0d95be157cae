"""Block tables: where the paths of a pass lie in the cache, for kernels that read the blocks in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import torch
from torch import Tensor

from apar.engine.attention import Attention, DraftMasks, Layout, PreparedAttention
from apar.scheduling.scheduler import Row


@dataclass(frozen=True, slots=True)
class Tables:
    """The rows of a pass as int64 tensors: R rows, paths of at most W blocks.

    `slots`, `write_source` and `drafts` are those of a `Layout`.
    """

    blocks: Tensor  # [R, W], padded with any block
    ends: Tensor  # [R] slots that each row fills, with its path and its draft
    offsets: Tensor  # [R + 1] where each row's tokens begin in the pass
    slots: Tensor  # [S]
    write_source: Tensor | None  # [S]
    drafts: DraftMasks | None = None


class TableAttention(Attention, Protocol):
    """Attention that reads the blocks in place, and so needs no more than the tables."""

    def over(self, tables: Tables) -> PreparedAttention:
        """Attention over rows that are fed one token each. Its tensors may change between two passes."""
        ...


def make_tables(layout: Layout, device: torch.device) -> Tables:
    """The tables of a pass, sent in one copy."""
    width = max(len(row.thread.blocks) for row in layout.rows)
    blocks, ends, offsets = to_device(
        (table_numbers(layout.rows, width, 0), [row.filled for row in layout.rows], layout.offsets), device
    )
    return Tables(blocks.view(-1, width), ends, offsets, layout.slots, layout.write_source, layout.drafts)


def table_numbers(rows: Sequence[Row], width: int, padding: int) -> list[int]:
    """The rows' block tables one after another, each padded to `width` with the block `padding`."""
    numbers: list[int] = []
    for row in rows:
        blocks = row.thread.blocks
        numbers += blocks
        numbers += [padding] * (width - len(blocks))
    return numbers


def concatenate(parts: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """All numbers of `parts` one after another as int64 on the host, where `device` can fetch them by itself."""
    return torch.tensor([*chain.from_iterable(parts)], dtype=torch.long, pin_memory=device.type == "cuda")


def to_device(parts: Sequence[Sequence[int]], device: torch.device) -> list[Tensor]:
    """One int64 tensor for each list, all sent in one copy for which the host does not wait."""
    sent = concatenate(parts, device).to(device, non_blocking=True)
    return list(torch.split(sent, [len(part) for part in parts]))
