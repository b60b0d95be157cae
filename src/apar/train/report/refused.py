"""The answers that a chat template refuses, in words."""

from __future__ import annotations

from collections.abc import Sequence

_TOLD = 10


def told_ids(ids: Sequence[str]) -> str:
    """How many there are, and the first of their ids."""
    if not ids:
        return "0"
    more = ", … (training.json lists all)" if len(ids) > _TOLD else ""
    return f"{len(ids):,}: {', '.join(ids[:_TOLD])}{more}"
