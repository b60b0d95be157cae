"""Paged attention by the C++ kernel: nothing is gathered, every row reads the blocks of its own path."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from apar.engine.attention import Layout, PreparedAttention, Scores
from apar.engine.cache import PagedCache
from apar.engine.native.build import available
from apar.engine.native.linear import TYPES


@dataclass(frozen=True, slots=True)
class NativeAttention:
    """Attention on the CPU in float32 or bfloat16.

    A token's result has the same bits whatever else is in the pass and however its path was fed.
    """

    cache: PagedCache

    @staticmethod
    def fits(cache: PagedCache) -> bool:
        """Whether the kernel can serve this cache; it is compiled if need be."""
        return cache.device.type == "cpu" and cache.dtype in TYPES and available()

    def prepare(self, layout: Layout) -> PreparedAttention:
        width = max(len(row.thread.blocks) for row in layout.rows)
        tables = torch.zeros(len(layout.rows), width, dtype=torch.long)
        for number, row in enumerate(layout.rows):
            blocks = row.thread.blocks
            tables[number, : len(blocks)] = torch.tensor(blocks)
        ends = torch.tensor([row.end for row in layout.rows])
        return _Prepared(layout, tables, ends, torch.tensor(layout.offsets))


@dataclass(frozen=True, slots=True)
class _Prepared:
    layout: Layout
    tables: Tensor  # [R, W]
    ends: Tensor  # [R]
    offsets: Tensor  # [R + 1]

    def attend(self, query: Tensor, key: Tensor, value: Tensor, keys: Tensor, values: Tensor, scores: Scores) -> Tensor:
        output: Tensor = torch.ops.apar.paged_attention(
            query,
            key,
            value,
            keys,
            values,
            self.layout.slots,
            self.layout.written,
            self.tables,
            self.ends,
            self.offsets,
            scores.scale,
            scores.window or 0,
            scores.softcap or 0.0,
        )
        return output
