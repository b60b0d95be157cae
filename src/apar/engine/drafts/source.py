"""Where drafts come from: a source guesses the tokens behind a path, and says what each guess is judged by."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

from apar.decoding.group import Group, Thread


@dataclass(frozen=True, slots=True)
class Candidate:
    """A guess for one token. `parent` is the number of the guess before it in the list, -1 where it follows the path.

    Guesses of one `kind` are right equally often, once what is before them is; `prior` is how often before any of
    them was verified.
    """

    token: int
    parent: int
    kind: Hashable
    prior: float


class DraftSource(Protocol):
    """Guesses. It sees all that was decoded, and nothing that it says can change a text."""

    @property
    def name(self) -> str:
        """As it is called in statistics."""
        ...

    def candidates(self, group: Group, thread: Thread) -> Sequence[Candidate]:
        """Guesses for what comes behind all that was decoded of a thread, a tree with parents before children."""
        ...

    def forget(self, group: Group) -> None:
        """The group has ended."""
        ...
