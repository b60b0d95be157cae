"""Data-parallel ranks: all threads of an answer go to one, where the keys and values of their prefix are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class DataParallelRouter:
    """The data-parallel ranks, and how many answers each decodes."""

    def __init__(self, count: int) -> None:
        self._open = [0] * count

    @contextmanager
    def least_busy(self) -> Iterator[int | None]:
        """The rank with the fewest answers, which counts one more meanwhile; None where there is only one."""
        if len(self._open) == 1:
            yield None
            return
        rank = self._open.index(min(self._open))
        self._open[rank] += 1
        try:
            yield rank
        finally:
            self._open[rank] -= 1
