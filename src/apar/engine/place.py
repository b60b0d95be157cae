"""Where a token is drawn: behind a thread's path, or behind draft tokens after it. Plain data."""

from __future__ import annotations

from dataclasses import dataclass, field

from apar.decoding.grammar import ThreadState
from apar.decoding.group import Group, Thread


@dataclass(slots=True)
class Place:
    """Behind all that was decoded of a thread, and `after` it some tokens more.

    What is drawn here depends on nothing but the path up to here: not on how it was computed, nor on what was drafted.
    Only where the request asks for inexact drafts are there `candidates`, draft tokens to be taken if they are likely.
    """

    group: Group
    thread: Thread
    after: tuple[int, ...] = ()
    candidates: tuple[int, ...] = ()
    path: list[int] = field(init=False)

    def __post_init__(self) -> None:
        decoded = self.thread.decoded
        self.path = [*decoded, *self.after] if self.after else decoded

    @property
    def next(self) -> bool:
        """Whether the token drawn here is the one for the thread's next logical step."""
        return len(self.path) == len(self.thread.tokens)

    @property
    def state(self) -> ThreadState:
        """What the grammar asks of the thread."""
        return ThreadState(len(self.thread.path), len(self.path), self.index, self.path[-1])

    @property
    def index(self) -> int:
        """How many tokens the thread has sampled before."""
        return len(self.path) - self.thread.starts[-1]

    @property
    def banned(self) -> frozenset[int]:
        """The tokens that the grammar does not allow here, by what the answer has come to now."""
        return self.group.banned(self.thread, self.state, self.next)

    @property
    def refused(self) -> frozenset[int]:
        """Tokens that were drawn here before, and may not be."""
        return self.thread.refused if self.next else frozenset()
