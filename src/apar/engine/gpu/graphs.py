"""Passes of a fixed shape, recorded once and replayed: the GPU does not wait until Python has launched each kernel.

A pass whose rows are fed one token each is padded to a bucket of rows and of blocks per path, in buffers that
stay where they are. Padded rows write to the scratch block, which is nobody's, and attend to one slot of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from apar.engine.attention import PreparedAttention
from apar.engine.batch import Batch
from apar.engine.block_tables import TableAttention, Tables, concatenate, table_numbers
from apar.engine.cache import PagedCache
from apar.errors import RunError

LEAST_WIDTH = 16
"""Blocks per path in the smallest bucket."""

Forward = Callable[[Tensor, Tensor, Tensor, PreparedAttention], tuple[Tensor, Tensor]]
"""The model: ids [1, T], positions [1, T], the tokens wanted and the attention to their logits [tokens, V] and hidden
states [tokens, D].
"""

Capture = Callable[[Callable[[], None]], Callable[[], None]]
"""Records what a function does on the device; what it returns does the same again."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A shape of passes. `duplicated` ones have as many slots again, for tokens that are written to two slots."""

    rows: int
    width: int
    duplicated: bool

    @classmethod
    def of(cls, batch: Batch) -> Bucket:
        """The smallest bucket that holds a pass."""
        width = max(len(row.thread.blocks) for row in batch.rows)
        return cls(row_bucket(len(batch.rows)), max(LEAST_WIDTH, _power_of_two(width)), batch.write_source is not None)

    @property
    def slots(self) -> int:
        return self.rows * (1 + self.duplicated)


def row_bucket(rows: int) -> int:
    """1, 2, 4, 8, 16, then by 8 up to 64, and from there by an eighth of the next power of two."""
    power = _power_of_two(rows)
    step = power if rows <= 16 else max(8, power // 8)
    return -(-rows // step) * step


class StaticPasses:
    """Runs passes of single tokens in buckets; what a bucket does is captured when it is first used."""

    def __init__(self, forward: Forward, attention: TableAttention, cache: PagedCache, capture: Capture) -> None:
        self._forward, self._attention, self._cache, self._capture = forward, attention, cache, capture
        self._recorded: dict[Bucket, _Recorded] = {}
        # One buffer of logits and of hidden states for each number of rows: recordings that kept their own could
        # not share memory.
        self._outputs: dict[int, tuple[Tensor, Tensor]] = {}

    @staticmethod
    def fits(batch: Batch) -> bool:
        """Whether the pass has a bucket: single tokens, none of which goes to many slots."""
        return batch.decoding and len(batch.slots) <= 2 * len(batch.rows)

    def run(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The logits [rows, V] and hidden states [rows, D] of the rows that sample, overwritten by the next pass."""
        bucket = Bucket.of(batch)
        numbers = concatenate(_padded(batch, bucket, self._cache), self._cache.device)
        recorded = self._recorded.get(bucket)
        if recorded:
            recorded.inputs.copy_(numbers, non_blocking=True)
        else:
            recorded = self._recorded[bucket] = self._record(bucket, numbers.to(self._cache.device))
        recorded.replay()
        logits, hidden = self._outputs[bucket.rows]
        if len(batch.ending) < len(batch.rows):
            return logits[batch.ending], hidden[batch.ending]
        return logits[: len(batch.rows)], hidden[: len(batch.rows)]

    def _record(self, bucket: Bucket, inputs: Tensor) -> _Recorded:
        ids, positions, ends, slots, write_source, blocks = torch.split(inputs, _sizes(bucket))
        rows = torch.arange(bucket.rows + 1, device=inputs.device)
        tables = Tables(blocks.view(bucket.rows, -1), ends, rows, slots, write_source if bucket.duplicated else None)
        attention = self._attention.over(tables)

        def run() -> None:
            outputs = self._forward(ids.unsqueeze(0), positions.unsqueeze(0), rows[:-1], attention)
            if bucket.rows in self._outputs:
                for buffer, output in zip(self._outputs[bucket.rows], outputs, strict=True):
                    buffer.copy_(output)
            else:
                self._outputs[bucket.rows] = outputs

        return _Recorded(inputs, self._capture(run))


@dataclass(frozen=True, slots=True)
class _Recorded:
    """The buffer of a bucket's inputs, and what runs the pass on what is in it."""

    inputs: Tensor
    replay: Callable[[], None]


def _sizes(bucket: Bucket) -> list[int]:
    """How many numbers each input has: ids, positions, ends, slots, write source, blocks."""
    rows = bucket.rows
    return [rows, rows, rows, bucket.slots, bucket.slots * bucket.duplicated, rows * bucket.width]


def _padded(batch: Batch, bucket: Bucket, cache: PagedCache) -> list[list[int]]:
    """The inputs of a pass, filled up to the bucket's sizes."""
    slots, scratch = cache.scratch * cache.block_size, cache.scratch
    parts: list[tuple[list[int], int]] = [
        (batch.ids, 0),
        (batch.positions, 0),
        ([row.end for row in batch.rows], 1),
        (batch.slots, slots),
        (batch.write_source or [], 0),
        (table_numbers(batch.rows, bucket.width, scratch), scratch),
    ]
    sizes = _sizes(bucket)
    return [part + [filler] * (size - len(part)) for (part, filler), size in zip(parts, sizes, strict=True)]


class CudaGraphs:
    """Captures CUDA graphs that share one pool of memory. Raises RunError for what cannot be captured."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, run: Callable[[], None]) -> Callable[[], None]:
        self._warm_up(run)
        graph = torch.cuda.CUDAGraph()
        try:
            # What other threads of the host do on the GPU meanwhile is no part of it, and no error.
            with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                run()
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            raise RunError(
                f"a pass cannot be captured as a CUDA graph ({reason}); load the model with graphs=False"
            ) from error
        return graph.replay

    def _warm_up(self, run: Callable[[], None]) -> None:
        """Compile kernels and let libraries allocate, which no capture allows; on a stream beside the others."""
        beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            run()
        torch.cuda.current_stream().wait_stream(beside)


def _power_of_two(number: int) -> int:
    """The next power of two that is not less."""
    return 1 << (number - 1).bit_length()
