"""The draft tokens of a row: candidates for what comes behind its path. Plain data."""

from __future__ import annotations

from dataclasses import dataclass

from apar.errors import RunError

MAX_DRAFT_TOKENS = 63
"""Draft tokens of a row, at most: what each of them sees is a mask of one bit per token, without the sign."""


@dataclass(frozen=True, slots=True)
class Draft:
    """Candidates for the tokens behind a path, as a tree: of a token's children at most one can be right.

    `parents[k]` is the number of the draft token before token k, which is less than k, and -1 for the last token
    of the path. Without `parents` each token follows the one before it. Raises RunError for anything else.
    """

    tokens: tuple[int, ...]
    parents: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if not 0 < len(self.tokens) <= MAX_DRAFT_TOKENS:
            raise RunError(f"a draft has {len(self.tokens)} tokens; it may have 1 to {MAX_DRAFT_TOKENS}")
        parents = self._parents
        if len(parents) != len(self.tokens) or not all(-1 <= parent < k for k, parent in enumerate(parents)):
            raise RunError(f"the parents {parents} of a draft are not one earlier token for each of its tokens")

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def _parents(self) -> tuple[int, ...]:
        return tuple(range(-1, len(self.tokens) - 1)) if self.parents is None else self.parents

    @property
    def depths(self) -> list[int]:
        """How many draft tokens come before each on its branch."""
        return [mask.bit_count() - 1 for mask in self.visible]

    @property
    def visible(self) -> list[int]:
        """The draft tokens that each token sees, bit j for token j: those on its branch, itself the last."""
        masks: list[int] = []
        for number, parent in enumerate(self._parents):
            masks.append((masks[parent] if parent >= 0 else 0) | 1 << number)
        return masks

    def first(self, count: int) -> Draft:
        """Its first `count` tokens."""
        if count >= len(self.tokens):
            return self
        return Draft(self.tokens[:count], None if self.parents is None else self.parents[:count])

    def children(self, node: int) -> dict[int, int]:
        """The draft tokens behind token number `node` (-1: behind the path), each with its number."""
        parents = self._parents
        return {self.tokens[k]: k for k in range(len(self.tokens) - 1, node, -1) if parents[k] == node}

    def is_branch(self, nodes: tuple[int, ...]) -> bool:
        """Whether token numbers are the beginning of a branch: each is the parent of the next."""
        return all(
            node < len(self.tokens) and self._parents[node] == before
            for before, node in zip((-1, *nodes), nodes, strict=False)
        )
