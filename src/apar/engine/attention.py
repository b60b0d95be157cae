"""Attention over the paged cache: one function in the interface of transformers, for every model class.

Shape letters: T tokens fed, H query heads, K key heads, R query heads per key head (H = K * R), D head size,
G groups, N threads per group, L slots gathered per group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface

from apar.errors import ModelError

NAME = "apar_paged"

# Arguments that some models pass to their attention and that change its result.
_UNSUPPORTED = ("sliding_window", "softcap", "s_aux", "position_bias")


class PagedCache:
    """The keys and values of all blocks, per layer `[blocks, block_size, K, D]`.

    Zeros, because a masked slot still takes part in the product: it must be finite.
    """

    def __init__(
        self,
        layers: int,
        num_blocks: int,
        block_size: int,
        heads: int,
        head_size: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        shape = (num_blocks, block_size, heads, head_size)
        self.keys = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(layers)]
        self.values = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(layers)]

    def copy(self, copies: Sequence[tuple[int, int]]) -> None:
        """Copy whole blocks (from, to) in every layer; all are read before any is written."""
        sources, targets = torch.tensor(copies, device=self.keys[0].device).unbind(1)
        for tensor in (*self.keys, *self.values):
            tensor.index_copy_(0, targets, tensor.index_select(0, sources))


@dataclass(frozen=True, slots=True)
class DecodeBatch:
    """The threads that are fed one token each: the first tokens of the pass, group after group.

    A group's threads share most of their path, so the blocks of all of them are gathered once and each thread
    sees its own by `mask`. Groups of fewer threads, or of fewer blocks, are padded.
    """

    tokens: int
    groups: int
    blocks: Tensor  # [G * blocks per group]
    length: int  # L: slots beyond are of no thread
    mask: Tensor | None  # [G, 1, R * N, L], added to the scores; None: every slot is seen
    spread: Tensor | None  # [G * N] which token each padded place has; None: no padding
    places: Tensor | None  # [tokens] the padded place of each token


@dataclass(frozen=True, slots=True)
class Prefill:
    """A thread that is fed several tokens: those from `begin` to `end` of the pass.

    `blocks` and `mask` `[tokens, L]` are None where the thread's path begins in this pass: then its keys are
    the tokens' own, and plain causal attention does.
    """

    begin: int
    end: int
    blocks: Tensor | None
    mask: Tensor | None


@dataclass(frozen=True, slots=True)
class PagedInputs:
    """What attention must know about a pass, made once for all layers."""

    cache: PagedCache
    written: Tensor | None  # which token each written row is; None: token by token
    slots: Tensor  # where it goes
    decode: DecodeBatch | None
    prefills: tuple[Prefill, ...]


def attend(
    module: nn.Module,
    query: Tensor,  # [1, H, T, D]
    key: Tensor,  # [1, K, T, D]
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    *,
    paged: PagedInputs,
    **others: Any,
) -> tuple[Tensor, None]:
    """Store the pass's keys and values, then attend to what each thread's path has in the cache.

    Returns `[1, T, H, D]`. The signature is that of transformers' attention functions.
    """
    if changing := [name for name in _UNSUPPORTED if others.get(name) is not None]:
        raise ModelError(f"the model's attention uses {', '.join(changing)}, which paged attention does not have")
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    keys, values = paged.cache.keys[layer], paged.cache.values[layer]
    _store(keys, key, paged)
    _store(values, value, paged)
    outputs = [_prefill(query, key, value, keys, values, part, scaling) for part in paged.prefills]
    if paged.decode:
        outputs.insert(0, _decode(query, keys, values, paged.decode, scaling))
    output = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
    return output.unsqueeze(0), None


AttentionInterface.register(NAME, attend)


def _store(cache: Tensor, rows: Tensor, paged: PagedInputs) -> None:
    rows = rows[0].transpose(0, 1)  # [T, K, D]
    if paged.written is not None:
        rows = rows.index_select(0, paged.written)
    cache.flatten(0, 1).index_copy_(0, paged.slots, rows)


def _decode(query: Tensor, keys: Tensor, values: Tensor, batch: DecodeBatch, scaling: float | None) -> Tensor:
    """Attention of the threads that are fed one token each. Returns `[tokens, H, D]`."""
    kv_heads, size = keys.shape[2:]
    heads, groups = query.shape[1], batch.groups
    query = query[0, :, : batch.tokens]
    if batch.spread is not None:
        query = query.index_select(1, batch.spread)
    # Query heads of one key head, and threads of one group, become rows of one product.
    rows = query.reshape(kv_heads, heads // kv_heads, groups, -1, size).permute(2, 0, 1, 3, 4)
    folded = rows.reshape(groups, kv_heads, -1, size)  # [G, K, R * N, D]
    keys, values = (_gather(tensor, batch.blocks, groups, batch.length) for tensor in (keys, values))
    output = F.scaled_dot_product_attention(folded, keys, values, attn_mask=batch.mask, scale=scaling)
    output = output.view(groups, kv_heads, heads // kv_heads, -1, size).permute(0, 3, 1, 2, 4)
    output = output.reshape(-1, heads, size)
    return output if batch.places is None else output.index_select(0, batch.places)


def _gather(cache: Tensor, blocks: Tensor, groups: int, length: int) -> Tensor:
    """The blocks' rows as `[G, K, L, D]`."""
    rows = cache.index_select(0, blocks).view(groups, -1, *cache.shape[2:])
    return rows[:, :length].transpose(1, 2)


def _prefill(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    keys: Tensor,
    values: Tensor,
    part: Prefill,
    scaling: float | None,
) -> Tensor:
    """Attention of one thread that is fed several tokens. Returns `[tokens, H, D]`."""
    query = query[:, :, part.begin : part.end]
    if part.blocks is None or part.mask is None:
        key, value = key[:, :, part.begin : part.end], value[:, :, part.begin : part.end]
        output = F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling, enable_gqa=True)
    else:
        length = part.mask.shape[-1]
        key, value = (_gather(tensor, part.blocks, 1, length) for tensor in (keys, values))
        output = F.scaled_dot_product_attention(query, key, value, attn_mask=part.mask, scale=scaling, enable_gqa=True)
    return output[0].transpose(0, 1)
