"""The model with its paged cache: runs a scheduled pass and returns logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from apar.engine.attention import NAME, PagedCache
from apar.engine.batch import BatchBuilder
from apar.engine.blocks import BlockPool
from apar.engine.scheduler import Pass, Row


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


class Runner:
    """A Hugging Face decoder whose attention reads the paged cache.

    The model is the runner's from here on: its attention is replaced.
    """

    def __init__(self, model: Any, pool: BlockPool) -> None:
        shape = CacheShape.of(model.config)
        size = pool.block_size
        dtype, device = model.dtype, model.device
        folded = model.config.num_attention_heads // shape.heads
        self.cache = PagedCache(shape.layers, pool.num_blocks, size, shape.heads, shape.head_size, dtype, device)
        self._batches = BatchBuilder(self.cache, size, folded, dtype, device)
        self._model = model
        model.set_attn_implementation(NAME)

    @torch.inference_mode()
    def run(self, work: Pass) -> tuple[list[Row], Tensor]:
        """The pass's rows in the order they were run, and their logits `[rows, vocabulary]`."""
        batch = self._batches.build(work)
        if work.copies:
            self.cache.copy(work.copies)
        output = self._model(
            input_ids=batch.ids,
            position_ids=batch.positions,
            use_cache=False,
            logits_to_keep=batch.last,
            paged=batch.paged,
        )
        return batch.rows, output.logits[0]
