"""The paged cache: the keys and values of all blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class CacheShape:
    """What a model keeps of every token."""

    layers: int
    heads: int
    head_size: int

    @classmethod
    def of(cls, config: Any) -> CacheShape:
        """Read it from a Hugging Face model config."""
        heads = config.num_attention_heads
        kv_heads = getattr(config, "num_key_value_heads", None) or heads
        head_size = getattr(config, "head_dim", None) or config.hidden_size // heads
        return cls(config.num_hidden_layers, kv_heads, head_size)

    def bytes_per_token(self, dtype: torch.dtype) -> int:
        return 2 * self.layers * self.heads * self.head_size * dtype.itemsize


class PagedCache:
    """The keys and values of all blocks, per layer `[blocks, K, block_size, D]`: what a head reads is in one piece.

    There is one block more than `num_blocks`, called `scratch`: it is nobody's, and padding is written to it.
    Zeros, because a masked slot may still take part in a product: it must be finite.
    """

    def __init__(
        self, shape: CacheShape, num_blocks: int, block_size: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.scratch = num_blocks
        sizes = (num_blocks + 1, shape.heads, block_size, shape.head_size)
        self.block_size = block_size
        self.keys = [torch.zeros(sizes, dtype=dtype, device=device) for _ in range(shape.layers)]
        self.values = [torch.zeros(sizes, dtype=dtype, device=device) for _ in range(shape.layers)]

    @property
    def device(self) -> torch.device:
        return self.keys[0].device

    @property
    def dtype(self) -> torch.dtype:
        return self.keys[0].dtype

    def copy(self, copies: Sequence[tuple[int, int]]) -> None:
        """Copy whole blocks (from, to) in every layer; all are read before any is written."""
        sources, targets = torch.tensor(copies, device=self.device).unbind(1)
        for tensor in (*self.keys, *self.values):
            tensor.index_copy_(0, targets, tensor.index_select(0, sources))

    def move(self, moves: Sequence[tuple[int, int]]) -> None:
        """Copy single slots (from, to) in every layer; all are read before any is written."""
        sources, targets = torch.tensor(moves, device=self.device).unbind(1)
        size = self.block_size
        for tensor in (*self.keys, *self.values):
            tensor[targets // size, :, targets % size] = tensor[sources // size, :, sources % size]

    def clear(self, blocks: Sequence[int]) -> None:
        """Make blocks zero again: what is not a number in them would spread to their next holder."""
        cleared = torch.tensor(blocks, device=self.device)
        for tensor in (*self.keys, *self.values):
            tensor.index_fill_(0, cleared, 0)
