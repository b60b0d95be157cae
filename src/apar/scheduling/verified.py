"""What a row of a pass came to. Plain data."""

from __future__ import annotations

from dataclasses import dataclass, field

from apar.decoding.group import Sampled
from apar.scheduling.scheduler import Row


@dataclass(slots=True)
class Verified:
    """What a row came to: the tokens that were drawn, and the draft tokens that led to all but the first of them.

    `sampled` is None where logits were not numbers. `last` is the token of the pass's output from whose hidden state
    the last token was drawn.
    """

    row: Row
    last: int
    sampled: list[Sampled] | None = field(default_factory=list)
    nodes: list[int] = field(default_factory=list)

    @property
    def children(self) -> dict[int, int]:
        """The draft tokens behind the last one that was right, with their numbers."""
        draft = self.row.draft
        return {} if draft is None else draft.children(self.nodes[-1] if self.nodes else -1)
