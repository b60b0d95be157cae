"""Drafts that are right as often as a test wants: guesses for answers that are known from decoding without drafts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from apar.decoding.group import Group, Thread
from apar.engine.drafts.source import Candidate
from apar.engine.drafts.speculator import RUN_AHEAD, Speculator
from apar.engine.drafts.step_cost import SIZES, StepCost
from apar.engine.engine import Engine
from apar.events import Delta, Event, Finished, Forked
from apar.tree import ThreadPath
from tests.engine.tiny import VOCABULARY


def spoken(events: Sequence[Event], fork: int, eos: int) -> dict[ThreadPath, list[int]]:
    """What each thread of an answer sampled, as far as its events tell."""
    said: dict[ThreadPath, list[int]] = {}
    for event in events:
        own = said.setdefault(event.thread, [])
        if isinstance(event, Delta):
            own += event.token_ids
        elif isinstance(event, Forked):
            own.append(fork)
        elif isinstance(event, Finished) and event.reason == "eos":
            own.append(eos)
    return said


@dataclass
class KnownAnswers:
    """Guesses trees of random shape: each token of the known answer stands in them with the chance `right`."""

    answers: Sequence[dict[ThreadPath, list[int]]]
    right: float
    numbers: random.Random
    name: str = "known"
    forgotten: list[int] = field(default_factory=list)

    def candidates(self, group: Group, thread: Thread) -> list[Candidate]:
        known = self.answers[group.number].get(thread.path, [])
        sampled = thread.length - thread.starts[-1]
        found: list[Candidate] = []
        behind = -1
        for depth in range(self.numbers.randint(1, 6)):
            if self.numbers.random() < 0.3:
                found.append(self._guess(self.numbers.randrange(VOCABULARY), behind, depth))
            if self.numbers.random() < self.right and sampled + depth < len(known):
                found.append(self._guess(known[sampled + depth], behind, depth))
                behind = len(found) - 1
            elif found:
                behind = self.numbers.randrange(len(found))
        return found

    def _guess(self, token: int, parent: int, depth: int) -> Candidate:
        return Candidate(token, parent, ("known", depth), self.numbers.random())

    def forget(self, group: Group) -> None:
        self.forgotten.append(group.number)


def draft_with(engine: Engine, source: KnownAnswers, per_token: float) -> None:
    """Let an engine draft by `source`; a pass costs 1, and `per_token` more for every token that it is fed."""
    engine.speculator = Speculator([source], StepCost([1 + per_token * size for size in SIZES]))
    engine.scheduler.run_ahead = RUN_AHEAD


@dataclass
class EveryToken:
    """Guesses `width` tokens of the vocabulary for the next place, and nothing behind them: with all, one is right."""

    width: int = VOCABULARY
    name: str = "every"

    def candidates(self, group: Group, thread: Thread) -> list[Candidate]:
        return [Candidate(token, -1, self.name, 0.5) for token in range(self.width)]

    def forget(self, group: Group) -> None:
        pass


def guess_everything(engine: Engine, width: int = VOCABULARY) -> Engine:
    """The engine, which from now on verifies `EveryToken`, whatever a pass costs."""
    engine.speculator = Speculator([EveryToken(width)], StepCost([1.0 for _ in SIZES]))
    engine.scheduler.run_ahead = RUN_AHEAD
    return engine
