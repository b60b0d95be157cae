"""Where a token is drawn: behind a thread's path, or behind draft tokens after it. Plain data."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field

from apar.decoding.grammar import ThreadState
from apar.decoding.group import Group, Thread
from apar.tree import ThreadPath

_FLOAT_BITS = 52
"""One bit less than a float has: then the number times any total is below the total, even rounded."""


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

    @property
    def random_number(self) -> float:
        """What the token is drawn by, in [0, 1)."""
        group, form = self.group, self.thread.form
        again = bool(self.refused) + (form.taken_back if form is not None else 0)
        return uniform(group.seed, group.choice, self.thread.path, self.index, again)

    @property
    def said(self) -> list[tuple[int, int]]:
        """The tokens that the penalties are for, and how often the thread or its ancestors sampled each.

        Tokens that are no part of the text (control tokens, ends) are never penalised.
        """
        params = self.group.params
        if not params.penalises:
            return []
        sampled = Counter(self.path[self.group.prompt_tokens :])
        tokens = set(self.path) if params.repetition_penalty != 1 else set(sampled)
        return [(token, sampled[token]) for token in tokens - self.group.grammar.hidden]


def uniform(seed: int, choice: int, path: ThreadPath, index: int, again: int = 0) -> float:
    """The random number in [0, 1) for token `index` that the thread samples.

    A hash, not a generator: it does not depend on what was drawn before, and no two threads have one stream.
    `again` is for the token taken instead of a `[Fork]` that was refused: with the first number, which led to
    `[Fork]`, the tokens beside it would be too likely. So it is with a lead that was taken back: it counts those.
    """
    times = again if again > 1 else bool(again)
    digest = hashlib.blake2b(repr((seed, choice, path, index, times)).encode(), digest_size=8).digest()
    return (int.from_bytes(digest) >> (64 - _FLOAT_BITS)) / (1 << _FLOAT_BITS)
