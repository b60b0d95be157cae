"""Paged attention by one Triton kernel, for threads that are decoded and for prompts alike."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from apar.engine.attention import Layout, PreparedAttention, Scores
from apar.engine.block_tables import Tables, make_tables, to_device
from apar.engine.cache import PagedCache
from apar.scheduling.scheduler import Row

_TILE = 64
"""Query rows (tokens times heads) of a tile of a prompt, at most."""

_LEAST = 16
"""The least extent of a matrix product on a GPU."""

_TILE_BYTES = 16384
"""Of each tensor that a program holds: queries, keys and values, some of them twice, fit on a GPU of 2020."""

_PROGRAMS = 256
"""Programs that keep a large GPU busy: with fewer, paths are split."""

_LEAST_SPLIT = 256
"""Slots of a path for which another program pays."""


@dataclass(frozen=True, slots=True)
class TritonAttention:
    """Attention on a GPU; `heads` are the model's query heads. The cache may have any block size and float type.

    A row's result does not depend on the other rows, but for how many programs share a path.
    """

    cache: PagedCache
    heads: int

    @staticmethod
    def fits(cache: PagedCache) -> bool:
        """Whether the kernel can serve this cache."""
        return cache.device.type == "cuda" and importlib.util.find_spec("triton") is not None

    def prepare(self, layout: Layout) -> PreparedAttention:
        singles = sum(row.length == 1 for row in layout.rows)
        size = self.cache.keys[0].shape[-1]
        tokens = max(1, _extent(size, self.cache.dtype, _TILE) // _power_of_two(self._folded))
        tiles = _tiles(layout.rows, singles, tokens)
        numbers = to_device((*tiles, range(singles), [0] * singles), self.cache.device)
        tables = make_tables(layout, self.cache.device)
        parts = [self._singles(tables, Tiles(numbers[2], numbers[3], 1))] if singles else []
        if tiles[0]:
            parts.append(Part(Tiles(numbers[0], numbers[1], tokens), 1))
        return _Prepared(tables, tuple(parts))

    def over(self, tables: Tables) -> PreparedAttention:
        rows = torch.arange(len(tables.ends), device=self.cache.device)
        return _Prepared(tables, (self._singles(tables, Tiles(rows, torch.zeros_like(rows), 1)),))

    def _singles(self, tables: Tables, tiles: Tiles) -> Part:
        longest = tables.blocks.shape[1] * self.cache.block_size
        return Part(tiles, _splits(len(tiles.rows) * self.cache.keys[0].shape[1], longest))

    @property
    def _folded(self) -> int:
        return self.heads // self.cache.keys[0].shape[1]


@dataclass(frozen=True, slots=True)
class Tiles:
    """Queries that a program has together: `tokens` of one row."""

    rows: Tensor  # [tiles]
    firsts: Tensor  # [tiles] the first of the row's tokens
    tokens: int


@dataclass(frozen=True, slots=True)
class Part:
    """One launch of the kernel: its tiles, and among how many programs each path is split."""

    tiles: Tiles
    splits: int


@dataclass(frozen=True, slots=True)
class _Prepared:
    tables: Tables
    parts: tuple[Part, ...]

    def attend(self, query: Tensor, key: Tensor, value: Tensor, keys: Tensor, values: Tensor, scores: Scores) -> Tensor:
        query, key, value = map(_with_dense_heads, (query, key, value))
        _store(self.tables, key, value, keys, values)
        out = torch.empty(query.shape, dtype=query.dtype, device=query.device)
        for part in self.parts:
            _attend(part, self.tables, query, keys, values, scores, out)
        return out


def _with_dense_heads(rows: Tensor) -> Tensor:
    return rows if rows.stride(-1) == 1 else rows.contiguous()


def _store(tables: Tables, key: Tensor, value: Tensor, keys: Tensor, values: Tensor) -> None:
    from apar.engine.gpu import kernels

    _, kv_heads, block_size, size = keys.shape
    kernels.store[len(tables.slots), kv_heads](
        key,
        value,
        keys,
        values,
        tables.slots,
        tables.slots if tables.write_source is None else tables.write_source,
        *key.stride()[:2],
        *value.stride()[:2],
        KEY_HEADS=kv_heads,
        SIZE=size,
        SIZE_PADDED=_power_of_two(size),
        BLOCK_SIZE=block_size,
        DUPLICATED=tables.write_source is not None,
        num_warps=1,
        enable_fp_fusion=True,
    )


def _attend(
    part: Part, tables: Tables, query: Tensor, keys: Tensor, values: Tensor, scores: Scores, out: Tensor
) -> None:
    from apar.engine.gpu import kernels

    heads = query.shape[1]
    _, kv_heads, block_size, size = keys.shape
    folded, padded = _power_of_two(heads // kv_heads), _padded_size(size)
    tiles, splits, drafts = part.tiles, part.splits, tables.drafts
    # Without drafts any tensors, which are not read.
    masks = (tables.ends,) * 3 if drafts is None else (drafts.visible, drafts.positions, drafts.counts)
    # The results of the splits; with one split the kernel writes its own.
    sums = query.new_empty((len(tiles.rows), heads, splits, size) if splits > 1 else (1,), dtype=torch.float32)
    tops, masses = query.new_empty((2, *sums.shape[:3]), dtype=torch.float32)
    kernels.attend[len(tiles.rows), kv_heads, splits](
        query,
        keys,
        values,
        tables.blocks,
        tables.ends,
        tables.offsets,
        *masks,
        tiles.rows,
        tiles.firsts,
        out,
        sums,
        tops,
        masses,
        tables.blocks.shape[1],
        *query.stride()[:2],
        scores.scale,
        scores.softcap or 0.0,
        KEY_HEADS=kv_heads,
        SIZE=size,
        SIZE_PADDED=padded,
        BLOCK_SIZE=block_size,
        FOLDED=heads // kv_heads,
        FOLDED_PADDED=folded,
        TILE=max(_LEAST, tiles.tokens * folded),
        SLOTS=_extent(size, keys.dtype, 128),
        WINDOW=scores.window or 0,
        CAPPED=scores.softcap is not None,
        SPLITS=splits,
        DRAFTS=drafts is not None,
        num_stages=2,
        enable_fp_fusion=True,
    )
    if splits > 1:
        kernels.join[len(tiles.rows), heads](
            sums, tops, masses, out, SIZE=size, SIZE_PADDED=padded, SPLITS=splits, enable_fp_fusion=True
        )


def _tiles(rows: Sequence[Row], singles: int, tokens: int) -> tuple[list[int], list[int]]:
    """The row and the first token of each tile of the rows after the `singles` first."""
    found = [(number, first) for number in range(singles, len(rows)) for first in range(0, rows[number].length, tokens)]
    return [number for number, _ in found], [first for _, first in found]


def _splits(programs: int, longest: int) -> int:
    """Among how many programs each path is split; a power of two, because each number is compiled anew."""
    most = min(_PROGRAMS // programs, longest // _LEAST_SPLIT)
    return 1 << (most.bit_length() - 1) if most > 1 else 1


def _extent(size: int, dtype: torch.dtype, most: int) -> int:
    """How many rows of a head's size a program holds in one tensor."""
    return min(most, max(_LEAST, _TILE_BYTES // (_padded_size(size) * dtype.itemsize)))


def _padded_size(size: int) -> int:
    return max(_LEAST, _power_of_two(size))


def _power_of_two(number: int) -> int:
    """The next power of two that is not less."""
    return 1 << (number - 1).bit_length()
