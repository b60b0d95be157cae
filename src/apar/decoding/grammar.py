"""The grammar of an answer: which tokens may come next in a thread, and what a token does there.

Whoever samples, counts, forces or bans tokens asks here: the sampler of the engine in process, the logical steps,
the coordinator of threads over another engine, and forced answers. Plain data; the paper's rules are in section 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from apar.tokens import ControlTokens

_PATH_OF_A_FORK = 3
"""Tokens that a fork needs on the child's path: `[Fork]`, `[Child]` and the detail's first token."""


FULL = -1
"""Stands for a token where an engine has no room for one: the thread ends there by its length."""


class Effect(Enum):
    """What a sampled token does."""

    SAY = "say"
    FORK = "fork"
    END = "end"


@dataclass(frozen=True, slots=True)
class ForkLimits:
    """How far an answer may fork, and the most tokens that a path may have."""

    fork: bool
    max_threads: int
    max_depth: int
    context: int


@dataclass(frozen=True, slots=True)
class ThreadState:
    """A thread before its next token.

    `depth` counts the threads along its path, `length` the tokens of the path, the prompt included, of which the
    thread itself has `sampled` some; `last` is the last token of the path.
    """

    depth: int
    length: int
    sampled: int
    last: int


@dataclass(frozen=True, slots=True)
class GroupState:
    """A group before a logical step: its `live` threads, how many were ever `created`, and the `budget` of visible
    tokens that is left.
    """

    live: int
    created: int
    budget: int


class Grammar:
    """The rules for the answers to one request. `control` is None for a model that was not trained to fork."""

    __slots__ = ("_banned", "control", "eos", "hidden", "limits")

    def __init__(self, control: ControlTokens | None, eos: frozenset[int], limits: ForkLimits) -> None:
        self.control, self.eos, self.limits = control, eos, limits
        fork = frozenset() if control is None else frozenset([control.fork])
        child = frozenset() if control is None else frozenset([control.child])
        # What is no part of the visible text.
        self.hidden = eos | fork | child
        # By whether the thread may fork and may end.
        self._banned = {
            (may_fork, may_end): child | (frozenset() if may_fork else fork) | (frozenset() if may_end else eos)
            for may_fork in (False, True)
            for may_end in (False, True)
        }

    def effect(self, token: int, repeats_lead: bool = False) -> Effect:
        """What `token` does where it may stand.

        Where the thread `repeats_lead` and that is to end it, `[Fork]` is an end: the node has no detail and is not
        told.
        """
        if token in self.eos:
            return Effect.END
        if self.control is not None and token == self.control.fork:
            return Effect.END if repeats_lead else Effect.FORK
        return Effect.SAY

    def banned(self, thread: ThreadState, group: GroupState) -> frozenset[int]:
        """The tokens that may not come next."""
        return self._banned[self.may_fork(thread, group), self.may_end(thread)]

    def may_fork(self, thread: ThreadState, group: GroupState) -> bool:
        """Whether `[Fork]` may come next.

        Never as the first token of an answer or of a detail, nor after another `[Fork]`, nor beyond the request's
        limits; and only if the detail is sure to have text. For that the context must have room, and the budget
        must cover two tokens of every live thread: one in this step, and one in the next, where the child's first
        comes last at worst.
        """
        return (
            self.control is not None
            and not self.never_forks(thread.depth)
            and thread.sampled > 0
            and thread.last != self.control.fork
            and group.created < self.limits.max_threads
            and group.budget >= 2 * group.live
            and thread.length + _PATH_OF_A_FORK <= self.limits.context
        )

    def never_forks(self, depth: int) -> bool:
        """Whether no thread of this depth may fork, whatever else the answer has come to."""
        limits = self.limits
        return not limits.fork or depth >= limits.max_depth or limits.max_threads == 1

    def may_end(self, thread: ThreadState) -> bool:
        """Whether end-of-sequence may come next: a detail has text, so it is never a child's first token."""
        return thread.sampled > 0 or thread.depth == 1
