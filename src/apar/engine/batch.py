"""A scheduled pass laid out as the lists that the model is fed. Plain data: no tensor is made here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from apar.scheduling.scheduler import Pass, Row


@dataclass(frozen=True, slots=True)
class Batch:
    """The tokens of a pass, row after row, those of row r from `offsets[r]` to `offsets[r + 1]`.

    Rows that are fed one token come first, then those that are fed one token and a draft. A token's key and value
    go to its slot; with `write_source`, slot s gets those of token `write_source[s]`: some tokens go to two slots.
    `visible` has the draft tokens that each token sees (`Draft.visible`), and is None where no row has a draft.
    """

    rows: list[Row]
    offsets: list[int]
    ids: list[int]
    positions: list[int]  # path positions
    slots: list[int]
    write_source: list[int] | None
    visible: list[int] | None

    @property
    def ending(self) -> list[int]:
        """The numbers of the rows whose path ends in this pass: a token is sampled behind it."""
        return [number for number, row in enumerate(self.rows) if row.sampled]

    @property
    def wanted(self) -> list[int]:
        """The tokens whose logits are wanted: the last ones of the paths that end in this pass, and their drafts."""
        ends = self.offsets[1:]
        return [
            token
            for row, end in zip(self.rows, ends, strict=True)
            if row.sampled
            for token in range(end - 1 - row.num_drafts, end)
        ]

    @property
    def decoding(self) -> bool:
        """Whether every row is fed one token."""
        return len(self.ids) == len(self.rows)


def lay_out(work: Pass, block_size: int) -> Batch:
    """The lists of a pass."""
    # The sort is stable: threads of one group stay together.
    rows = sorted(work.rows.values(), key=_order)
    offsets = [0]
    for row in rows:
        offsets.append(offsets[-1] + row.length)
    slots = [slot for row in rows for slot in _slots(row, block_size)]
    write_source = _duplicate(work, rows, offsets, slots)
    return Batch(
        rows,
        offsets,
        [token for row in rows for token in row.tokens],
        [position for row in rows for position in row.positions],
        slots,
        write_source,
        _visible(rows),
    )


def _order(row: Row) -> int:
    return 2 * (row.end - row.begin > 1) + (row.draft is not None)


def _slots(row: Row, size: int) -> list[int]:
    blocks = row.thread.blocks
    if row.length == 1:
        return [blocks[row.begin // size] * size + row.begin % size]
    return [blocks[index // size] * size + index % size for index in range(row.begin, row.filled)]


def _visible(rows: Sequence[Row]) -> list[int] | None:
    if all(row.draft is None for row in rows):
        return None
    return [
        mask
        for row in rows
        for mask in [*[0] * (row.end - row.begin), *(row.draft.visible if row.draft is not None else [])]
    ]


def _duplicate(work: Pass, rows: Sequence[Row], offsets: Sequence[int], slots: list[int]) -> list[int] | None:
    """Append the slots of tokens that are written to a second slot; return which token each slot is of."""
    if not work.duplicate_writes:
        return None
    # Where a thread's path index 0 would be among the tokens of the pass.
    origin = {row.thread: offset - row.begin for row, offset in zip(rows, offsets, strict=False)}
    write_source = [*range(len(slots)), *(origin[write.thread] + write.index for write in work.duplicate_writes)]
    slots += [write.slot for write in work.duplicate_writes]
    return write_source
