"""Tree attention as a mask: token i attends to token j exactly when `j <= i < subtree_end[j]`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def dense_mask(subtree_end: Tensor) -> Tensor:
    """The boolean mask for scaled dot-product attention.

    `subtree_end` is [batch, length]; the mask is [batch, 1, length (query), length (key)], true where the
    query attends to the key.
    """
    index = torch.arange(subtree_end.shape[-1], device=subtree_end.device)
    causal = index[:, None] >= index[None, :]
    inside = index[None, :, None] < subtree_end[:, None, :]
    return (causal & inside)[:, None]


def additive_mask(subtree_end: Tensor, dtype: torch.dtype) -> Tensor:
    """The same mask to be added to attention scores: 0 where the query attends, the least number elsewhere."""
    attends = dense_mask(subtree_end)
    return torch.zeros(attends.shape, dtype=dtype, device=attends.device).masked_fill_(~attends, torch.finfo(dtype).min)


def mask_mod(subtree_end: Tensor) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """The same rule as a FlexAttention `mask_mod` over `subtree_end` [batch, length]."""

    def attends(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (key <= query) & (query < subtree_end[batch, key])

    return attends
