"""Teacher forcing: threads of a forced answer take its tokens, whatever the model would say."""

from __future__ import annotations

from collections.abc import Sequence

from apar.decoding.grammar import may_fork
from apar.decoding.group import Choice
from apar.engine.scheduler import Row
from apar.errors import RunError


def force_tokens(rows: Sequence[Row], choices: Sequence[Choice | None]) -> list[Choice | None]:
    """The choices, with those of scripted threads replaced by what their script says.

    A row whose logits are not numbers stays without a choice. Raises RunError where a fork is refused.
    """
    return [_force_tokens(row, choice) for row, choice in zip(rows, choices, strict=True)]


def _force_tokens(row: Row, choice: Choice | None) -> Choice | None:
    script = row.group.script
    if script is None or choice is None:
        return choice
    token = script.threads[row.thread.path][row.thread.sampled]
    if token == row.group.fork and not may_fork(row.group, row.thread):
        raise RunError(f"the script of {row.group.name} forks where its rules forbid it, in thread {row.thread.path}")
    return Choice(token, token)
