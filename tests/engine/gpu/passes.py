"""Passes over a cache of random numbers, made without a model."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import Tensor

from apar.engine.attention import Attention, DraftMasks, Layout, Scores
from apar.engine.batch import Batch, lay_out
from apar.engine.cache import CacheShape, PagedCache
from apar.scheduling.draft import Draft
from apar.scheduling.scheduler import DuplicateWrite, Pass, Row
from tests import device
from tests.engine.states import new_group

BLOCKS = 64


@dataclass(frozen=True)
class Heads:
    """Query heads, key heads, and their size."""

    query: int
    key: int
    size: int


@dataclass
class Scene:
    """A pass and what its layers are handed; `mirror` also writes the first row's token to a free block."""

    cache: PagedCache
    layout: Layout
    query: Tensor
    key: Tensor
    value: Tensor

    def attend(self, attention: Attention, scores: Scores) -> tuple[Tensor, Tensor]:
        """The output, and the keys and values as they are afterwards; the scene's own stay as they are."""
        keys, values = self.cache.keys[0].clone(), self.cache.values[0].clone()
        prepared = attention.prepare(self.layout)
        return prepared.attend(self.query, self.key, self.value, keys, values, scores), torch.stack([keys, values])


def make_scene(
    heads: Heads,
    block_size: int,
    spans: list[tuple[int, int]],
    dtype: torch.dtype,
    mirror: bool = False,
    drafts: dict[int, Draft] | None = None,
) -> Scene:
    """A pass with a row for each of `spans`: path positions from, to. The rows' blocks are drawn at random.

    `drafts` are those of spans, by their number.
    """
    torch.manual_seed(0)
    place = torch.device(device.chosen)
    cache = PagedCache(CacheShape(1, heads.key, heads.size), BLOCKS, block_size, dtype, place)
    for tensor in (*cache.keys, *cache.values):
        tensor.normal_()
    free = random.Random(0).sample(range(BLOCKS), BLOCKS)
    work = Pass()
    for number, (begin, end) in enumerate(spans):
        group = new_group(end, number=number)
        thread = group.threads[0]
        row = work.rows[thread] = Row(group, thread, begin, end, None, (drafts or {}).get(number))
        thread.blocks = [free.pop() for _ in range(-(-row.filled // block_size))]
    if mirror:
        row = next(iter(work.rows.values()))
        work.duplicate_writes.append(DuplicateWrite(row.thread, row.begin, free.pop() * block_size))
    batch = lay_out(work, block_size)
    write_source = None if batch.write_source is None else torch.tensor(batch.write_source, device=place)
    layout = Layout(batch.rows, batch.offsets, torch.tensor(batch.slots, device=place), write_source, _masks(batch))

    def rows(count: int) -> Tensor:
        # A model's heads come from one product, and lie side by side.
        wide = torch.randn(len(batch.ids), 2 * count, heads.size, device=place, dtype=dtype)
        return wide[:, :count]

    return Scene(cache, layout, rows(heads.query), rows(heads.key), rows(heads.key))


def _masks(batch: Batch) -> DraftMasks | None:
    if batch.visible is None:
        return None
    lists = (batch.visible, batch.positions, [row.num_drafts for row in batch.rows])
    return DraftMasks(*(torch.tensor(numbers, device=device.chosen) for numbers in lists))
