"""The model with its paged cache: runs a scheduled pass and returns logits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from apar.engine.attention import NAME, Attention, PagedInputs
from apar.engine.batch import lay_out
from apar.engine.blocks import BlockPool
from apar.engine.cache import CacheShape, PagedCache
from apar.engine.native import NativeAttention, fuse, pack_linears
from apar.engine.portable import PortableAttention
from apar.engine.scheduler import Pass, Row


class Runner:
    """A Hugging Face decoder whose attention reads the paged cache.

    The model is the runner's from here on: its attention is replaced, and on a CPU with a compiler so are its
    linear layers, norms and feed-forward layers.
    """

    def __init__(self, model: Any, pool: BlockPool, native: bool = True) -> None:
        self.cache = PagedCache(
            CacheShape.of(model.config), pool.num_blocks, pool.block_size, model.dtype, model.device
        )
        self._attention = self._choose_attention(model, native)
        self._model = model
        model.set_attn_implementation(NAME)

    def _choose_attention(self, model: Any, native: bool) -> Attention:
        if native and NativeAttention.fits(self.cache):
            pack_linears(model)
            fuse(model, self.cache.dtype)
            return NativeAttention(self.cache)
        return PortableAttention(self.cache)

    @torch.inference_mode()
    def run(self, work: Pass) -> tuple[list[Row], Tensor]:
        """The rows of the pass that sample, and their logits `[rows, vocabulary]`."""
        batch = lay_out(work, self.cache.block_size, self.cache.device)
        if work.copies:
            self.cache.copy(work.copies)
        output = self._model(
            input_ids=batch.ids,
            position_ids=batch.positions,
            use_cache=False,
            logits_to_keep=batch.last,
            paged=PagedInputs(self.cache, self._attention.prepare(batch.layout)),
        )
        return batch.sampled, output.logits[0]
