"""The text of an answer in pieces, cut where refused groups of parts begin and end, for views of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from apar.structure.labels import Reason, Refusal


class Piece(NamedTuple):
    """Text that is wholly in refused groups or wholly in none.

    `begins` are the reasons of the groups that begin with it, `ends` is how many groups end with it.
    """

    text: str
    begins: tuple[Reason, ...]
    ends: int
    refused: bool


class RefusedPieces:
    """Cuts the text of an answer; to be called for spans in order, which together are the whole text.

    A group of no characters, such as a list of empty items, is in no piece.
    """

    def __init__(self, text: str, refusals: Iterable[Refusal]) -> None:
        self._text = text
        self._begins: dict[int, list[Reason]] = defaultdict(list)
        self._ends: dict[int, int] = defaultdict(int)
        for start, end, reason in refusals:
            if start < end:
                self._begins[start].append(reason)
                self._ends[end] += 1
        self._cuts = sorted({*self._begins, *self._ends}, reverse=True)
        self._inside = 0

    def pieces(self, start: int, end: int) -> Iterator[Piece]:
        """The pieces of the characters `[start, end)`; none is empty."""
        cuts = [start]
        while self._cuts and self._cuts[-1] < end:
            cuts.append(self._cuts.pop())
        for begin, until in pairwise([*cuts, end]):
            if begin < until:
                begins, ends = tuple(self._begins.get(begin, ())), self._ends.get(until, 0)
                self._inside += len(begins)
                yield Piece(self._text[begin:until], begins, ends, self._inside > 0)
                self._inside -= ends
