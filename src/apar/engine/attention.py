"""Attention over the paged cache: one function in the interface of transformers, for every model class.

Shape letters: T tokens fed, H query heads, K key heads, D head size, R rows, W blocks of the longest row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn
from transformers import AttentionInterface

from apar.engine.cache import PagedCache
from apar.errors import ModelError
from apar.scheduling.scheduler import Row

NAME = "apar_paged"

# Arguments that some models pass to their attention, that change its result, and that paged attention lacks.
_UNSUPPORTED = ("s_aux", "position_bias")


@dataclass(frozen=True, slots=True)
class Scores:
    """How a layer scores: `scale` of the products, soft-capping, and how many tokens back a token sees."""

    scale: float
    softcap: float | None = None
    window: int | None = None


@dataclass(frozen=True, slots=True)
class DraftMasks:
    """What rows with drafts need, as int64 tensors.

    A draft token sees its row's whole path and of the row's draft tokens those in its mask: bit k for token k.
    Keys lie in the order in which they are fed, but sliding windows count positions: in a tree of candidates two
    tokens may have one position.
    """

    visible: Tensor  # [T] 0 for tokens of a path
    positions: Tensor  # [T] path positions
    counts: Tensor  # [R] draft tokens of each row


@dataclass(frozen=True, slots=True)
class Layout:
    """The tokens of a pass: row after row, those of row r from `offsets[r]` to `offsets[r + 1]`.

    Slot s of `slots` [S] gets the key and value of token s, or with `write_source` [S] of token `write_source[s]`.
    `drafts` is None where no row has a draft.
    """

    rows: Sequence[Row]
    offsets: Sequence[int]
    slots: Tensor
    write_source: Tensor | None
    drafts: DraftMasks | None = None


class PreparedAttention(Protocol):
    """The attention of one pass, the same for all its layers."""

    def attend(self, query: Tensor, key: Tensor, value: Tensor, keys: Tensor, values: Tensor, scores: Scores) -> Tensor:
        """Store `key` and `value` [T, K, D] in the layer's cache, `keys` and `values` [blocks, K, block size, D],
        then let every token of `query` [T, H, D] attend to what it sees. Returns [T, H, D].
        """
        ...


class Attention(Protocol):
    """A way to compute attention over the cache."""

    def prepare(self, layout: Layout) -> PreparedAttention:
        """Lay out the tensors of a pass, once for all layers."""
        ...


@dataclass(frozen=True, slots=True)
class PagedInputs:
    """What the model's attention layers are handed through the model's forward."""

    cache: PagedCache
    attention: PreparedAttention


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
    sliding_window: int | None = None,
    softcap: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Store the pass's keys and values, then attend to what each thread's path has in the cache.

    Returns `[1, T, H, D]`. The signature is that of transformers' attention functions.
    """
    if changing := [name for name in _UNSUPPORTED if others.get(name) is not None]:
        raise ModelError(f"the model's attention uses {', '.join(changing)}, which paged attention does not have")
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    scores = Scores(query.shape[-1] ** -0.5 if scaling is None else scaling, softcap, sliding_window)
    query, key, value = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
    output = paged.attention.attend(query, key, value, paged.cache.keys[layer], paged.cache.values[layer], scores)
    return output.unsqueeze(0), None


AttentionInterface.register(NAME, attend)


def store(cache: Tensor, rows: Tensor, layout: Layout) -> None:
    """Write `rows` [T, K, D] to their slots of a layer's cache."""
    if layout.write_source is not None:
        rows = rows.index_select(0, layout.write_source)
    size = cache.shape[2]
    cache[layout.slots // size, :, layout.slots % size] = rows
