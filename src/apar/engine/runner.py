"""The model with its paged cache: runs a scheduled pass and returns hidden states and logits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from apar.engine.attention import NAME, Attention, DraftMasks, Layout, PagedInputs, PreparedAttention
from apar.engine.batch import Batch, lay_out
from apar.engine.block_tables import TableAttention, to_device
from apar.engine.cache import CacheShape, PagedCache
from apar.engine.gpu import CudaGraphs, StaticPasses, TritonAttention
from apar.engine.gpu.graphs import Capture
from apar.engine.native import NativeAttention, fuse, pack_linears
from apar.engine.torch_attention import TorchAttention
from apar.models.heads import MedusaHeads
from apar.scheduling.blocks import BlockPool
from apar.scheduling.scheduler import Pass, Row

_JOINED_ROWS = 32
"""Rows of the output layer up to which the heads' states go through it together with the model's own."""


@dataclass(frozen=True, slots=True)
class PassOutput:
    """What a pass gives, valid until the next one: for each of `rows`, its last path token and its draft tokens.

    `rows` are those whose path ends in the pass. The others sample nothing.
    """

    rows: list[Row]
    logits: Tensor  # [tokens, vocabulary]
    hidden: Tensor  # [tokens, D]: what the model's output layer was given
    guesses: Tensor | None = None  # [heads, tokens, vocabulary]: the Medusa heads' logits, where they came along


class Runner:
    """A Hugging Face decoder whose attention reads the paged cache.

    The model is the runner's from here on: its attention is replaced, and on a CPU with a compiler so are its
    linear layers, norms and feed-forward layers. Without `native` attention is PyTorch's own. With `graphs`,
    passes of single tokens are CUDA graphs on a GPU. Medusa `heads` are on the model's device, in its type.
    """

    def __init__(
        self,
        model: Any,
        pool: BlockPool,
        native: bool = True,
        graphs: bool = True,
        heads: MedusaHeads | None = None,
    ) -> None:
        self.cache = PagedCache(
            CacheShape.of(model.config), pool.num_blocks, pool.block_size, model.dtype, model.device
        )
        self._attention = self._choose_attention(model, native)
        self._static: StaticPasses | None = None
        self._model = model
        self._heads = heads
        self._hidden: Tensor | None = None
        self._guessing = False
        if heads is not None and isinstance(self._attention, NativeAttention):
            pack_linears(heads)
        model.set_attn_implementation(NAME)
        # Its own forward stays in use, whatever it does before and after the output layer (scaling, soft-capping).
        model.get_output_embeddings().register_forward_pre_hook(self._keep_hidden)
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
    def run(self, work: Pass, guess: bool = False) -> PassOutput:
        """Run a pass: its copies, then its rows. With `guess` the heads are to guess behind them, see `guesses`."""
        batch = lay_out(work, self.cache.block_size)
        num_wanted = len(batch.wanted)
        joined = guess and self._joins(num_wanted)
        # Kernels and graphs are launched on the current device, which need not be the model's. -1: no change.
        device = self.cache.device
        with torch.cuda.device(device if device.type == "cuda" else -1):
            if work.copies:
                self.cache.copy(work.copies)
            static = self._static if self._static and self._static.fits(batch) and not joined else None
            self._guessing = joined
            logits, hidden = static.run(batch) if static else self._run(batch)
        rows, guesses = [batch.rows[number] for number in batch.ending], None
        if joined:
            parts = logits.view(-1, num_wanted, logits.shape[-1])
            logits, guesses = parts[0], parts[1:]
        return PassOutput(rows, logits, hidden, guesses)

    def _joins(self, wanted: int) -> bool:
        """Whether the heads' states go through the output layer together with the model's own: few rows cost as much
        as one, for reading the layer's weight is what takes time.
        """
        heads = self._heads
        return heads is not None and heads.shape.tied and wanted * (1 + heads.shape.heads) <= _JOINED_ROWS

    @torch.inference_mode()
    def guesses(self, output: PassOutput, tokens: Sequence[int]) -> Tensor:
        """The heads' logits [heads, tokens, vocabulary] for tokens of a pass's output."""
        assert self._heads is not None
        at = torch.tensor(tokens, device=self.cache.device)
        if output.guesses is not None:
            return output.guesses.index_select(1, at)
        return self._heads.logits(output.hidden.index_select(0, at), self._model.get_output_embeddings())

    def _run(self, batch: Batch) -> tuple[Tensor, Tensor]:
        parts = [batch.ids, batch.positions, batch.wanted, batch.slots, batch.write_source or ()]
        if batch.visible is not None:
            parts += [batch.visible, [row.num_drafts for row in batch.rows]]
        ids, positions, wanted, slots, write_source, *masks = to_device(parts, self.cache.device)
        drafts = DraftMasks(masks[0], positions, masks[1]) if masks else None
        layout = Layout(batch.rows, batch.offsets, slots, write_source if batch.write_source else None, drafts)
        return self._forward(ids.unsqueeze(0), positions.unsqueeze(0), wanted, self._attention.prepare(layout))

    def _forward(
        self, ids: Tensor, positions: Tensor, wanted: Tensor, attention: PreparedAttention
    ) -> tuple[Tensor, Tensor]:
        """Run the model: ids and positions [1, T]. Returns the logits [tokens, V] and the hidden states [tokens, D]
        of the `wanted` tokens; the output layer is given no others. Logits of the heads come after those of the model.
        """
        output = self._model(
            input_ids=ids,
            position_ids=positions,
            use_cache=False,
            logits_to_keep=wanted,
            paged=PagedInputs(self.cache, attention),
        )
        hidden, self._hidden, self._guessing = self._hidden, None, False
        assert hidden is not None, "the model's forward calls its output layer"
        return output.logits[0], hidden[0]

    def _keep_hidden(self, layer: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor] | None:
        """Keep what the output layer is given, and give it the heads' states after it where they are to guess."""
        [self._hidden] = inputs
        if not self._guessing or self._heads is None:
            return None
        return (torch.cat([self._hidden, *self._heads(self._hidden)], dim=-2),)
