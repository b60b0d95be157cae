"""Tree attention as a mask: token i attends to token j exactly when `j <= i < subtree_end[j]`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from apar.errors import ModelError

_KINDS = {"full_attention", "sliding_attention"}
Rule = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def dense_mask(subtree_end: Tensor) -> Tensor:
    """The boolean mask for scaled dot-product attention.

    `subtree_end` is [batch, length]; the mask is [batch, 1, length (query), length (key)], true where the
    query attends to the key.
    """
    index = torch.arange(subtree_end.shape[-1], device=subtree_end.device)
    causal = index[:, None] >= index[None, :]
    inside = index[None, :, None] < subtree_end[:, None, :]
    return (causal & inside)[:, None]


def within_window(positions: Tensor, window: int) -> Tensor:
    """Where the key is less than `window` positions back; shaped as `dense_mask`, `positions` is [batch, length]."""
    return (positions[:, :, None] - positions[:, None, :] < window)[:, None]


def additive(attends: Tensor, dtype: torch.dtype) -> Tensor:
    """A boolean mask to be added to attention scores: 0 where the query attends, the least number elsewhere."""
    return torch.zeros(attends.shape, dtype=dtype, device=attends.device).masked_fill_(~attends, torch.finfo(dtype).min)


def mask_mod(subtree_end: Tensor, positions: Tensor | None = None, window: int | None = None) -> Rule:
    """The same rule as a FlexAttention `mask_mod` over `subtree_end` [batch, length], with a window or without."""

    def attends(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (key <= query) & (query < subtree_end[batch, key])

    def attends_within(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        assert positions is not None
        assert window is not None
        near = positions[batch, query] - positions[batch, key] < window
        return attends(batch, head, query, key) & near

    return attends if window is None else attends_within


def check_attention(config: Any, name: str) -> None:
    """Raise ModelError if layers of a model do not attend by a mask: their states would run from thread to thread."""
    kinds = set(getattr(config, "layer_types", None) or ()) - _KINDS
    state = [key for key in ("state_size", "conv_kernel", "ssm_state_size", "mamba_d_state") if hasattr(config, key)]
    if kinds or state:
        found = " and ".join(sorted(kind.replace("_", " ") for kind in kinds)) or "layers with a state"
        raise ModelError(f"{name} has {found}: tree attention needs full or sliding attention; take another model")


def attention_mask(config: Any, subtree_end: Tensor, positions: Tensor, dtype: torch.dtype) -> Any:
    """Tree attention in the form that a Transformers model of this config takes as `attention_mask`.

    A model whose layers differ gets a mask by the type of layer. Sliding windows are measured along the path.
    """
    window = getattr(config, "sliding_window", None)
    kinds = set(getattr(config, "layer_types", None) or (["sliding_attention"] if window else ["full_attention"]))
    windows = {kind: window if kind == "sliding_attention" else None for kind in sorted(kinds)}
    masks = {kind: _mask(config, subtree_end, positions, size, dtype) for kind, size in windows.items()}
    return next(iter(masks.values())) if len(masks) == 1 else masks


def _mask(config: Any, subtree_end: Tensor, positions: Tensor, window: int | None, dtype: torch.dtype) -> Any:
    if config._attn_implementation == "flex_attention":
        from torch.nn.attention.flex_attention import create_block_mask

        batch, length = subtree_end.shape
        rule = mask_mod(subtree_end, positions, window)
        return create_block_mask(rule, batch, None, length, length, device=subtree_end.device)
    attends = dense_mask(subtree_end)
    if window is not None:
        attends = attends & within_window(positions, window)
    return additive(attends, dtype) if config._attn_implementation == "eager" else attends
