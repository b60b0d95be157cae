"""Drafts for forced answers that are right as often as it is stated: what drafts bring at any acceptance."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from apar.decoding.group import Group, Thread
from apar.engine.drafts.source import Candidate


class StatedDrafts:
    """A chain behind each path. Guess k is right with the chance `acceptance[k]`, if those before it are."""

    name = "stated"

    def __init__(self, acceptance: Sequence[float]) -> None:
        self._acceptance = tuple(acceptance)

    def candidates(self, group: Group, thread: Thread) -> list[Candidate]:
        """Tokens of the forced answer, or others in their place; the same each time."""
        if group.forced is None:
            return []
        sampled = thread.length - thread.starts[-1]
        coming = group.forced.threads[thread.path][sampled : sampled + len(self._acceptance)]
        found: list[Candidate] = []
        for number, (token, chance) in enumerate(zip(coming, self._acceptance, strict=False)):
            right = _number(group.number, thread.path, sampled, number) < chance
            found.append(Candidate(token if right else token - 1, number - 1, ("stated", number), chance))
        return found

    def forget(self, group: Group) -> None:
        """Nothing is kept."""


def _number(*key: object) -> float:
    """A random number in [0, 1) that the key decides."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=4).digest()
    return int.from_bytes(digest) / (1 << 32)
