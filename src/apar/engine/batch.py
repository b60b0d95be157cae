"""From a scheduled pass to the tensors that attention reads, made once for all layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from apar.engine.attention import DecodeBatch, PagedCache, PagedInputs, Prefill
from apar.engine.scheduler import Pass, Row


@dataclass(frozen=True, slots=True)
class Batch:
    """A pass laid out: its rows in the order of their tokens, those that are fed one token first."""

    rows: list[Row]
    ids: Tensor  # [1, T]
    positions: Tensor  # [1, T] path positions
    last: Tensor  # [rows] the token whose logits are sampled
    paged: PagedInputs


@dataclass(frozen=True, slots=True)
class BatchBuilder:
    """Lays passes out for one cache and one model shape."""

    cache: PagedCache
    block_size: int
    query_heads_per_key_head: int
    dtype: torch.dtype
    device: torch.device

    def build(self, work: Pass) -> Batch:
        # The sort is stable: threads of one group stay together.
        rows = sorted(work.rows.values(), key=lambda row: row.length > 1)
        offsets = [0]
        for row in rows:
            offsets.append(offsets[-1] + row.length)
        ids = [token for row in rows for token in row.fed]
        positions = [index for row in rows for index in range(row.begin, row.end)]
        last = [offset - 1 for offset in offsets[1:]]
        return Batch(
            rows,
            self._tensor([ids]),
            self._tensor([positions]),
            self._tensor(last),
            self._paged(work, rows, offsets[:-1]),
        )

    def _paged(self, work: Pass, rows: list[Row], offsets: list[int]) -> PagedInputs:
        slots = [slot for row in rows for slot in self._slots(row)]
        written = None
        if work.mirrors:
            # Where a thread's path index 0 would be among the tokens of the pass.
            origin = {row.thread: offset - row.begin for row, offset in zip(rows, offsets, strict=True)}
            extra = [origin[mirror.thread] + mirror.index for mirror in work.mirrors]
            written = self._tensor([*range(len(slots)), *extra])
            slots += [mirror.slot for mirror in work.mirrors]
        singles = [row for row in rows if row.length == 1]
        longer = [(row, offset) for row, offset in zip(rows, offsets, strict=True) if row.length > 1]
        return PagedInputs(
            self.cache,
            written,
            self._tensor(slots),
            self._decode(singles) if singles else None,
            tuple(self._prefill(row, offset) for row, offset in longer),
        )

    def _slots(self, row: Row) -> list[int]:
        blocks, size = row.thread.blocks, self.block_size
        return [blocks[index // size] * size + index % size for index in range(row.begin, row.end)]

    def _prefill(self, row: Row, offset: int) -> Prefill:
        if row.begin == 0:
            return Prefill(offset, offset + row.length, None, None)
        indices = torch.arange(row.end, device=self.device)
        mask = self._additive(indices <= indices[row.begin :].unsqueeze(1))
        return Prefill(offset, offset + row.length, self._tensor(row.thread.blocks), mask)

    def _decode(self, rows: list[Row]) -> DecodeBatch:
        groups = [list(members) for _, members in groupby(rows, key=lambda row: row.group.number)]
        unions = [list(dict.fromkeys(b for row in members for b in row.thread.blocks)) for members in groups]
        width = max(len(union) for union in unions)
        blocks = [block for union in unions for block in union + [0] * (width - len(union))]
        length, mask = self._mask(groups, unions, width)
        spread, places = self._padding(groups)
        return DecodeBatch(len(rows), len(groups), self._tensor(blocks), length, mask, spread, places)

    def _padding(self, groups: list[list[Row]]) -> tuple[Tensor | None, Tensor | None]:
        most = max(len(members) for members in groups)
        places = [number * most + k for number, members in enumerate(groups) for k in range(len(members))]
        if len(places) == most * len(groups):
            return None, None
        spread = [0] * (most * len(groups))
        for token, place in enumerate(places):
            spread[place] = token
        return self._tensor(spread), self._tensor(places)

    def _mask(self, groups: list[list[Row]], unions: list[list[int]], width: int) -> tuple[int, Tensor | None]:
        """How many slots to look at, and which of them each thread sees."""
        most = max(len(members) for members in groups)
        ends = {row.end for members in groups for row in members}
        if most == 1 and len(ends) == 1:
            return ends.pop(), None
        everything = [self.block_size] * width
        counts = []
        for members, union in zip(groups, unions, strict=True):
            column = {block: number for number, block in enumerate(union)}
            counts += [self._filled(row, column, width) for row in members]
            # A padded place sees anything: a row that saw nothing would be not a number.
            counts += [everything] * (most - len(members))
        filled = self._tensor(counts).view(len(groups), 1, 1, most, width, 1)
        seen = torch.arange(self.block_size, device=self.device) < filled
        heads = self.query_heads_per_key_head
        mask = self._additive(seen.flatten(-2)).expand(-1, -1, heads, -1, -1)
        return width * self.block_size, mask.reshape(len(groups), 1, heads * most, -1)

    def _filled(self, row: Row, column: dict[int, int], width: int) -> list[int]:
        """How many slots of each of the group's blocks belong to the row's path."""
        filled = [0] * width
        for block in row.thread.blocks:
            filled[column[block]] = self.block_size
        filled[column[row.thread.blocks[-1]]] = row.end - (len(row.thread.blocks) - 1) * self.block_size
        return filled

    def _additive(self, seen: Tensor) -> Tensor:
        mask = torch.zeros(seen.shape, dtype=self.dtype, device=self.device)
        return mask.masked_fill_(~seen, float("-inf"))

    def _tensor(self, data: Sequence[Any]) -> Tensor:
        return torch.tensor(data, device=self.device)
