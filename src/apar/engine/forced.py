"""Teacher forcing: threads of a forced answer take its tokens, whatever the model would say."""

from __future__ import annotations

from collections.abc import Sequence

from apar.decoding.group import Sampled
from apar.engine.scheduler import Row
from apar.errors import RunError


def force_tokens(rows: Sequence[Row], sampled: Sequence[Sampled | None]) -> list[Sampled | None]:
    """What the rows sampled, with that of forced threads replaced by what their answer has next.

    A row whose logits are not numbers stays without a token. Raises RunError where a fork is against the grammar.
    """
    return [_force(row, token) for row, token in zip(rows, sampled, strict=True)]


def _force(row: Row, sampled: Sampled | None) -> Sampled | None:
    group, thread = row.group, row.thread
    if group.forced is None or sampled is None:
        return sampled
    token = group.forced.threads[thread.path][thread.sampled]
    if token in thread.refused or token in group.grammar.banned(thread.state, group.state):
        raise RunError(f"the forced answer of {group.name} forks against the grammar, in thread {thread.path}")
    return Sampled(token)
