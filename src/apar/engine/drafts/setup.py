"""What an engine needs for drafts: the heads, the sources, and what passes cost on this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from apar.decoding.detokenize import Detokenizer
from apar.decoding.group import Group
from apar.decoding.params import SamplingParams
from apar.decoding.requests import Request
from apar.decoding.vocabulary import Vocabulary
from apar.engine.drafts.medusa import MedusaDrafts
from apar.engine.drafts.ngram import NgramDrafts
from apar.engine.drafts.source import DraftSource
from apar.engine.drafts.speculator import Speculator
from apar.engine.drafts.step_cost import StepCost
from apar.models.heads import MedusaHeads
from apar.scheduling.blocks import BlockPool
from apar.scheduling.scheduler import Pass, Row

if TYPE_CHECKING:
    from apar.engine.runner import Runner

_TIMES = 2
"""How often each size is measured; the shortest counts."""


@dataclass(frozen=True, slots=True)
class DraftSetup:
    """Which drafts an engine makes: by Medusa `heads`, by n-grams, and by further sources."""

    heads: MedusaHeads | None = None
    ngram: bool = True
    further: Sequence[DraftSource] = field(default=())

    def speculator(self, runner: Runner, pool: BlockPool) -> Speculator:
        """The choice of drafts for an engine, whose passes are measured here."""
        medusa = MedusaDrafts(self.heads.shape.heads) if self.heads is not None else None
        sources: list[DraftSource] = [*self.further]
        if medusa is not None:
            sources.append(medusa)
        if self.ngram:
            sources.append(NgramDrafts())
        plain = StepCost.measured(partial(_seconds, runner, pool, guess=False), pool.num_blocks)
        with_heads = StepCost.measured(partial(_seconds, runner, pool, guess=True), pool.num_blocks) if medusa else None
        return Speculator(sources, plain, with_heads, medusa)


def _seconds(runner: Runner, pool: BlockPool, tokens: int, guess: bool) -> float:
    """The shortest time of a pass of so many threads with one token each. Nothing of it stays."""
    taken = []
    for _ in range(_TIMES):
        blocks = pool.allocate(tokens)
        began = time.perf_counter()
        output = runner.run(_pass(blocks), guess)
        if guess:
            runner.guesses(output, range(tokens))
        float(output.logits[0, 0])  # waits for the device
        taken.append(time.perf_counter() - began)
        pool.release(blocks)
    return min(taken)


def _pass(blocks: Sequence[int]) -> Pass:
    """A thread with one token for each block, all of one answer."""
    vocabulary = Vocabulary(None, None, frozenset())
    group = Group.start(0, Request([0], SamplingParams(seed=0)), vocabulary, 2, Detokenizer(lambda ids: ""))
    threads = [replace(group.threads[0], tokens=[0], blocks=[block]) for block in blocks]
    work = Pass({thread: Row(group, thread, 0, 1) for thread in threads})
    work.tokens = len(blocks)
    return work
