"""Paged attention by the C++ kernel: nothing is gathered, every row reads the blocks of its own path."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from apar.engine.attention import Layout, PreparedAttention, Scores
from apar.engine.block_tables import Tables, make_tables
from apar.engine.cache import PagedCache
from apar.engine.native.build import available
from apar.engine.native.linear import TYPES


@dataclass(frozen=True, slots=True)
class NativeAttention:
    """Attention on the CPU in float32 or bfloat16.

    A token's result has the same bits whatever else is in the pass and however its path was fed. A draft token's are
    those of the same token at the end of a path, whatever tree of candidates it is in.
    """

    cache: PagedCache

    @staticmethod
    def fits(cache: PagedCache) -> bool:
        """Whether the kernel can serve this cache; it is compiled if need be."""
        return cache.device.type == "cpu" and cache.dtype in TYPES and available()

    def prepare(self, layout: Layout) -> PreparedAttention:
        return self.over(make_tables(layout, self.cache.device))

    def over(self, tables: Tables) -> PreparedAttention:
        """Attention over rows that are fed any number of tokens."""
        return _Prepared(tables)


@dataclass(frozen=True, slots=True)
class _Prepared:
    tables: Tables

    def attend(self, query: Tensor, key: Tensor, value: Tensor, keys: Tensor, values: Tensor, scores: Scores) -> Tensor:
        drafts = self.tables.drafts
        masks = (None, None) if drafts is None else (drafts.visible, drafts.counts)
        output: Tensor = torch.ops.apar.paged_attention(
            query,
            key,
            value,
            keys,
            values,
            self.tables.slots,
            self.tables.write_source,
            self.tables.blocks,
            self.tables.ends,
            self.tables.offsets,
            *masks,
            scores.scale,
            scores.window or 0,
            scores.softcap or 0.0,
        )
        return output
