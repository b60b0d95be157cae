"""The model with its paged cache: runs a scheduled pass and returns logits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from apar.engine.attention import NAME, Attention, Layout, PagedInputs, PreparedAttention
from apar.engine.batch import Batch, lay_out
from apar.engine.block_tables import TableAttention
from apar.engine.blocks import BlockPool
from apar.engine.cache import CacheShape, PagedCache
from apar.engine.gpu import CudaGraphs, StaticPasses, TritonAttention
from apar.engine.gpu.graphs import Capture
from apar.engine.native import NativeAttention, fuse, pack_linears
from apar.engine.scheduler import Pass, Row
from apar.engine.torch_attention import TorchAttention
from apar.engine.transfer import send


class Runner:
    """A Hugging Face decoder whose attention reads the paged cache.

    The model is the runner's from here on: its attention is replaced, and on a CPU with a compiler so are its
    linear layers, norms and feed-forward layers. Without `native` attention is PyTorch's own. With `graphs`,
    passes of single tokens are CUDA graphs on a GPU.
    """

    def __init__(self, model: Any, pool: BlockPool, native: bool = True, graphs: bool = True) -> None:
        self.cache = PagedCache(
            CacheShape.of(model.config), pool.num_blocks, pool.block_size, model.dtype, model.device
        )
        self._attention = self._choose_attention(model, native)
        self._static: StaticPasses | None = None
        self._model = model
        model.set_attn_implementation(NAME)
        if graphs and isinstance(self._attention, TritonAttention):
            self.record(self._attention, CudaGraphs())

    def _choose_attention(self, model: Any, native: bool) -> Attention:
        if native and TritonAttention.fits(self.cache):
            return TritonAttention(self.cache, model.config.num_attention_heads)
        if native and NativeAttention.fits(self.cache):
            pack_linears(model)
            fuse(model, self.cache.dtype)
            return NativeAttention(self.cache)
        return TorchAttention(self.cache)

    def record(self, attention: TableAttention, capture: Capture) -> None:
        """From now on run passes of single tokens in fixed shapes, through what `capture` returns."""
        self._static = StaticPasses(self._forward, attention, self.cache, capture)

    @torch.inference_mode()
    def run(self, work: Pass) -> tuple[list[Row], Tensor]:
        """The rows of the pass that sample, and their logits `[rows, vocabulary]`, valid until the next pass."""
        batch = lay_out(work, self.cache.block_size)
        # Kernels and graphs are launched on the current device, which need not be the model's. -1: no change.
        device = self.cache.device
        with torch.cuda.device(device if device.type == "cuda" else -1):
            if work.copies:
                self.cache.copy(work.copies)
            static = self._static if self._static and self._static.fits(batch) else None
            logits = static.run(batch) if static else self._run(batch)
        return [batch.rows[number] for number in batch.ending], logits

    def _run(self, batch: Batch) -> Tensor:
        ends = [batch.offsets[number + 1] - 1 for number in batch.ending]
        parts = (batch.ids, batch.positions, ends, batch.slots, batch.written or ())
        ids, positions, last, slots, written = send(parts, self.cache.device)
        layout = Layout(batch.rows, batch.offsets, slots, written if batch.written else None)
        return self._forward(ids.unsqueeze(0), positions.unsqueeze(0), last, self._attention.prepare(layout))

    def _forward(self, ids: Tensor, positions: Tensor, wanted: Tensor, attention: PreparedAttention) -> Tensor:
        """Run the model: ids and positions [1, T]. Returns the logits of the `wanted` tokens [tokens, V]."""
        output = self._model(
            input_ids=ids,
            position_ids=positions,
            use_cache=False,
            logits_to_keep=wanted,
            paged=PagedInputs(self.cache, attention),
        )
        logits: Tensor = output.logits[0]
        return logits
