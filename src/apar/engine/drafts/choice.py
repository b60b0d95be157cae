"""Which guesses to verify: those that make the most tokens a second, by what they are likely to bring and to cost."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from apar.decoding.group import Thread
from apar.engine.drafts.acceptance import Acceptance
from apar.engine.drafts.source import Candidate
from apar.scheduling.draft import MAX_DRAFT_TOKENS, Draft

LEAST_GAIN = 1.03
"""Times as many tokens a second as without drafts that are to be expected of some: what is expected is a guess, too."""


@dataclass(slots=True)
class Guess:
    """A node of a thread's candidate tree. `value` is how likely it and all before it are right."""

    token: int
    parent: int
    depth: int
    kind: Hashable
    value: float


def merged(
    sources: Sequence[Sequence[Candidate]], acceptance: Acceptance, most_depth: int, never: frozenset[int] = frozenset()
) -> list[Guess]:
    """One tree of the guesses of all sources, parents first: the same token at the same place is one guess.

    Of two kinds it is of the one that is right more often. No branch is longer than `most_depth`, and none has a token
    of `never`: behind an end nothing is drawn, so that to guess it brings nothing.
    """
    tree: list[Guess] = []
    at: dict[tuple[int, int], int] = {}
    for candidates in sources:
        numbers: dict[int, int] = {-1: -1}  # of the source's guesses in the tree
        for number, candidate in enumerate(candidates):
            parent = numbers.get(candidate.parent)
            if parent is None or candidate.token in never:
                continue
            depth = tree[parent].depth + 1 if parent >= 0 else 0
            if depth >= most_depth or len(tree) >= MAX_DRAFT_TOKENS:
                continue
            chance = acceptance.estimate(candidate.kind, candidate.prior)
            value = chance * (tree[parent].value if parent >= 0 else 1.0)
            known = at.get((parent, candidate.token))
            if known is None:
                known = at[parent, candidate.token] = len(tree)
                tree.append(Guess(candidate.token, parent, depth, candidate.kind, value))
            elif value > tree[known].value:
                tree[known].kind, tree[known].value = candidate.kind, value
            numbers[number] = known
    return tree


@dataclass(slots=True)
class Proposal:
    """The guesses of a thread that are verified, and the draft that they make."""

    guesses: list[Guess]
    draft: Draft


def best(
    trees: dict[Thread, list[Guess]], rows: int, cost: Callable[[float], float], forced: int = 0
) -> dict[Thread, Proposal]:
    """The guesses to verify beside `rows` threads; `cost(tokens)` are the seconds of a pass.

    So many of the likeliest are taken that the pass has the most tokens a second to be expected, none where that is
    hardly more than without, and `forced` at least.
    """
    ranked = sorted(
        (
            (-guess.value, guess.depth, place, number)
            for place, tree in enumerate(trees.values())
            for number, guess in enumerate(tree)
        )
    )
    gained, count = 0.0, 0
    most = LEAST_GAIN * rows / cost(rows)
    for taken, (loss, *_) in enumerate(ranked, 1):
        gained -= loss
        rate = (rows + gained) / cost(rows + taken)
        if rate > most:
            most, count = rate, taken
    chosen: list[list[int]] = [[] for _ in trees]
    for _, _, place, number in ranked[: max(count, min(forced, len(ranked)))]:
        chosen[place].append(number)
    return {
        thread: _proposal(tree, sorted(numbers))
        for (thread, tree), numbers in zip(trees.items(), chosen, strict=True)
        if numbers
    }


def _proposal(tree: Sequence[Guess], numbers: Sequence[int]) -> Proposal:
    """A part of a tree that has the parents of all its guesses."""
    new = {number: place for place, number in enumerate(numbers)} | {-1: -1}
    guesses = [tree[number] for number in numbers]
    return Proposal(
        guesses, Draft(tuple(guess.token for guess in guesses), tuple(new[guess.parent] for guess in guesses))
    )
