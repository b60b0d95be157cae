"""From a scheduled pass to the tensors that the model is fed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from apar.engine.attention import Layout
from apar.engine.scheduler import Pass, Row


@dataclass(frozen=True, slots=True)
class Batch:
    """A pass laid out: its rows in the order of their tokens, those that are fed one token first."""

    ids: Tensor  # [1, T]
    positions: Tensor  # [1, T] path positions
    sampled: list[Row]  # the rows whose path ends in this pass
    last: Tensor  # [sampled rows] the token whose logits are sampled
    layout: Layout


def lay_out(work: Pass, block_size: int, device: torch.device) -> Batch:
    """The tensors of a pass."""
    # The sort is stable: threads of one group stay together.
    rows = sorted(work.rows.values(), key=lambda row: row.length > 1)
    offsets = [0]
    for row in rows:
        offsets.append(offsets[-1] + row.length)
    ends = [(row, end - 1) for row, end in zip(rows, offsets[1:], strict=True) if row.sampled]
    slots = [slot for row in rows for slot in _slots(row, block_size)]
    written = _mirror(work, rows, offsets, slots)
    return Batch(
        torch.tensor([[token for row in rows for token in row.fed]], device=device),
        torch.tensor([[index for row in rows for index in range(row.begin, row.end)]], device=device),
        [row for row, _ in ends],
        torch.tensor([last for _, last in ends], dtype=torch.long, device=device),
        Layout(
            rows,
            offsets,
            torch.tensor(slots, device=device),
            None if written is None else torch.tensor(written, device=device),
        ),
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
