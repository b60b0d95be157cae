"""A scheduled pass laid out as the lists that the model is fed. Plain data: no tensor is made here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from apar.engine.scheduler import Pass, Row


@dataclass(frozen=True, slots=True)
class Batch:
    """The tokens of a pass, row after row, those of row r from `offsets[r]` to `offsets[r + 1]`.

    Rows that are fed one token come first. A token's key and value go to its slot; with `written`, slot s gets
    those of token `written[s]`: some tokens go to two places.
    """

    rows: list[Row]
    offsets: list[int]
    ids: list[int]
    positions: list[int]  # path positions
    slots: list[int]
    written: list[int] | None

    @property
    def ending(self) -> list[int]:
        """The numbers of the rows whose path ends in this pass: the logits of their last tokens are sampled."""
        return [number for number, row in enumerate(self.rows) if row.sampled]

    @property
    def decoding(self) -> bool:
        """Whether every row is fed one token."""
        return len(self.ids) == len(self.rows)


def lay_out(work: Pass, block_size: int) -> Batch:
    """The lists of a pass."""
    # The sort is stable: threads of one group stay together.
    rows = sorted(work.rows.values(), key=lambda row: row.length > 1)
    offsets = [0]
    for row in rows:
        offsets.append(offsets[-1] + row.length)
    slots = [slot for row in rows for slot in _slots(row, block_size)]
    written = _mirror(work, rows, offsets, slots)
    return Batch(
        rows,
        offsets,
        [token for row in rows for token in row.fed],
        [index for row in rows for index in range(row.begin, row.end)],
        slots,
        written,
    )


def _slots(row: Row, size: int) -> list[int]:
    blocks = row.thread.blocks
    if row.length == 1:
        return [blocks[row.begin // size] * size + row.begin % size]
    return [blocks[index // size] * size + index % size for index in range(row.begin, row.end)]


def _mirror(work: Pass, rows: Sequence[Row], offsets: Sequence[int], slots: list[int]) -> list[int] | None:
    """Append the slots of tokens that are written to a second place; return which token each slot is of."""
    if not work.mirrors:
        return None
    # Where a thread's path index 0 would be among the tokens of the pass.
    origin = {row.thread: offset - row.begin for row, offset in zip(rows, offsets, strict=False)}
    written = [*range(len(slots)), *(origin[mirror.thread] + mirror.index for mirror in work.mirrors)]
    slots += [mirror.slot for mirror in work.mirrors]
    return written
