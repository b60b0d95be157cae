"""Drafts by Medusa heads: head k guesses the token k places behind the one that was drawn last."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from apar.decoding.group import Group, Thread
from apar.engine.drafts.source import Candidate

RANKS = 6
"""Tokens of each head, the likeliest first, that may stand in a draft."""

MOST = 24
"""Guesses for a thread at most."""

_LEAST = 0.02
"""Guesses less likely than this, by the heads' own probabilities, are never worth a row."""

_BINS = 12
"""Kinds of guesses of a head, by the probability that it gives them: one for every factor of 1.4."""


class MedusaDrafts:
    """The heads' guesses for each thread, as its last pass left them."""

    name = "medusa"

    def __init__(self, heads: int) -> None:
        self.heads = heads
        # For each thread: the length of the path that they are for, and each head's tokens with probabilities.
        self._guesses: dict[Thread, tuple[int, list[list[int]], list[list[float]]]] = {}

    def take(self, threads: Sequence[Thread], logits: Tensor) -> None:
        """The heads' `logits` [heads, threads, vocabulary], at the places at which each thread's last token was drawn.

        What was drawn is ahead of the threads already.
        """
        if not threads:
            return
        top = logits.topk(min(RANKS, logits.shape[-1]), -1)
        chances = (top.values - logits.logsumexp(-1, keepdim=True)).exp()
        # One transfer: each makes the host wait for the device.
        both = torch.stack([top.indices.double(), chances.double()]).transpose(1, 2).tolist()
        for thread, tokens, likely in zip(threads, *both, strict=True):
            self._guesses[thread] = thread.length, [[int(token) for token in each] for each in tokens], likely

    def candidates(self, group: Group, thread: Thread) -> list[Candidate]:
        """The likeliest branches: each head's guesses behind those of the head before it."""
        length, tokens, chances = self._guesses.get(thread, (0, [], []))
        if length != thread.length:
            return []
        return _best_first(tokens, chances)

    def forget(self, group: Group) -> None:
        """Drop the guesses for threads that have ended: they hold no blocks. Those for other groups stay."""
        self.keep([thread for thread in self._guesses if thread.blocks])

    def keep(self, threads: Sequence[Thread]) -> None:
        """Drop the guesses for all other threads."""
        kept = set(threads)
        self._guesses = {thread: guess for thread, guess in self._guesses.items() if thread in kept}


def _best_first(tokens: Sequence[Sequence[int]], chances: Sequence[Sequence[float]]) -> list[Candidate]:
    """The guesses whose branches are likeliest, parents first.

    A heap holds for every guess taken its next sibling and its first child: none of them is likelier than it.
    """
    found: list[Candidate] = []
    heap: list[tuple[float, int, int, int]] = []  # -chance of the branch, depth, rank, parent

    def push(before: float, depth: int, rank: int, parent: int) -> None:
        if depth < len(tokens) and rank < len(tokens[depth]):
            heapq.heappush(heap, (-before * chances[depth][rank], depth, rank, parent))

    push(1.0, 0, 0, -1)
    while heap and len(found) < MOST and -heap[0][0] >= _LEAST:
        chance, depth, rank, parent = heapq.heappop(heap)
        own = chances[depth][rank]
        found.append(Candidate(tokens[depth][rank], parent, ("medusa", depth, _bin(own)), own))
        push(-chance / own, depth, rank + 1, parent)
        push(-chance, depth + 1, 0, len(found) - 1)
    return found


def _bin(chance: float) -> int:
    return min(int(-2 * math.log2(max(chance, 1e-9))), _BINS - 1)
