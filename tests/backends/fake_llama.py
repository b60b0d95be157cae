"""llama.cpp's cache as its documentation has it, in Python: cells with sequences, and what a batch may be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from apar.backends.llama_cpp.cells import TO_THE_END, TokenBatch
from apar.backends.llama_cpp.sampler import Array


@dataclass(eq=False)
class Cell:
    token: int
    position: int
    sequences: set[int]


@dataclass
class FakeLlama:
    """A decoder with `capacity` cells whose logits are those of `logits` for the path that a token sees.

    Raises AssertionError for what llama.cpp refuses, and where a token does not see exactly one path.
    """

    logits: Callable[[Sequence[int]], Sequence[float]]
    capacity: int
    sequences: int
    cells: list[Cell] = field(default_factory=list)
    most: int = 0
    decoded: int = 0
    fail: Callable[[], bool] = lambda: False

    def share(self, source: int, target: int, begin: int, end: int) -> None:
        for cell in self._range(source, begin, end):
            cell.sequences.add(target)

    def remove(self, sequence: int, begin: int, end: int) -> None:
        for cell in self._range(sequence, begin, end):
            cell.sequences.discard(sequence)
        self.cells = [cell for cell in self.cells if cell.sequences]

    def decode(self, batch: TokenBatch) -> Array:
        assert batch.tokens
        if self.fail():
            raise RuntimeError("the device is gone")
        last = {number: self._last(number) for each in batch.sequences for number in each}
        for numbers in batch.sequences:
            assert len(set(numbers)) == len(numbers)
            assert all(0 <= number < self.sequences for number in numbers)
            assert len({self._last(number) for number in numbers}) == 1, "coupled sequences have diverged"
        wanted = []
        entries = zip(batch.tokens, batch.positions, batch.sequences, strict=True)
        for index, (token, position, numbers) in enumerate(entries):
            for number in numbers:
                assert position == last[number] + 1, "positions are not consecutive"
                last[number] = position
            self.cells.append(Cell(token, position, set(numbers)))
            if index in batch.wanted:
                wanted.append((position, numbers))
        self.decoded += len(batch.tokens)
        self.most = max(self.most, len(self.cells))
        assert len(self.cells) <= self.capacity, "no cells are free"
        rows = [self.logits(self._path(position, numbers)) for position, numbers in wanted]
        return np.array(rows, dtype=np.float32)

    def _path(self, position: int, numbers: Sequence[int]) -> list[int]:
        """What a token sees: the same through each of its sequences."""
        paths = []
        for number in numbers:
            seen = sorted(
                (cell.position, cell.token)
                for cell in self.cells
                if number in cell.sequences and cell.position <= position
            )
            assert [at for at, _ in seen] == list(range(position + 1)), "a token does not see one path"
            paths.append([token for _, token in seen])
        assert all(path == paths[0] for path in paths)
        return paths[0]

    def _range(self, sequence: int, begin: int, end: int) -> list[Cell]:
        return [
            cell
            for cell in self.cells
            if sequence in cell.sequences and begin <= cell.position and (end == TO_THE_END or cell.position < end)
        ]

    def _last(self, sequence: int) -> int:
        return max((cell.position for cell in self.cells if sequence in cell.sequences), default=-1)
