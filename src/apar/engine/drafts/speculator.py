"""Drafts for every thread, from all sources together: how many, which, and what came of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from torch import Tensor

from apar.decoding.group import Group, Thread
from apar.engine.drafts.acceptance import Acceptance
from apar.engine.drafts.choice import LEAST_GAIN, Guess, Proposal, best, merged
from apar.engine.drafts.medusa import MedusaDrafts
from apar.engine.drafts.source import DraftSource
from apar.engine.drafts.step_cost import StepCost
from apar.scheduling.draft import Draft
from apar.scheduling.scheduler import Pass
from apar.scheduling.verified import Verified

_log = logging.getLogger(__name__)

RUN_AHEAD = 16
"""Tokens that a thread may be ahead of the slowest one of its answer."""

_WIDEST = 12
"""Guesses a thread for which it is known what they bring."""

_FIRST_PROBE, _LAST_PROBE = 64, 1024
"""Passes without heads after which they are tried again, twice as many each time that they do not pay."""


@dataclass(slots=True)
class Speculator:
    """Chooses the drafts of each pass.

    `plain` is what a pass costs without the heads, and `with_heads` what it costs with them. `medusa` is one of the
    `sources`, or None.
    """

    sources: list[DraftSource]
    plain: StepCost
    with_heads: StepCost | None = None
    medusa: MedusaDrafts | None = None
    heads_on: bool = False
    acceptance: Acceptance = field(default_factory=Acceptance)
    _proposed: dict[Thread, Proposal] = field(default_factory=dict)
    # How many tokens the best guess of a thread brings, the best two, and so on, by what the heads said lately.
    _brings: list[float] = field(default_factory=lambda: [1.0] * _WIDEST)
    _passes_off: int = 0
    _probe_after: int = _FIRST_PROBE
    _probing: bool = False

    def propose(self, groups: Sequence[Group], max_rows: int) -> dict[Thread, Draft]:
        """The drafts for the next pass, and whether the heads are to guess in it (`heads_on`)."""
        if not any(group.params.drafts for group in groups):
            self.pause()
            return {}
        rows, context, threads = _threads_of(groups, max_rows)
        if self.medusa is not None:
            self.medusa.keep([thread for group in groups for thread in group.decoding])
        trees = {thread: self._tree(group, thread) for group, thread in threads}
        trees = {thread: tree for thread, tree in trees.items() if tree}
        forced = len(trees) if self._probing else 0
        self._switch_heads(rows, len(threads), context)
        self._proposed = best(trees, rows, lambda tokens: self._cost.seconds(tokens, context), forced) if trees else {}
        return {thread: proposal.draft for thread, proposal in self._proposed.items()}

    def pause(self) -> None:
        """The next pass has no drafts, and the heads do not run in it."""
        self.heads_on, self._proposed = False, {}

    def takes_part(self, work: Pass) -> bool:
        """Whether a pass is another one than it would be without drafts."""
        return self.heads_on or any(row.draft is not None for row in work.rows.values())

    def _tree(self, group: Group, thread: Thread) -> list[Guess]:
        """All guesses for a thread. Tokens that the budget cannot pay for are not guessed."""
        most = min(RUN_AHEAD, group.budget - len(thread.ahead) - 1)
        if most < 1:
            return []
        found = [source.candidates(group, thread) for source in self.sources]
        tree = merged(found, self.acceptance, most, group.eos)
        if self.medusa is not None and tree and tree[0].kind[0] == self.medusa.name:  # type: ignore[index]
            self._learn_gain(tree)
        return tree

    def _learn_gain(self, tree: Sequence[Guess]) -> None:
        values = sorted((guess.value for guess in tree), reverse=True)[:_WIDEST]
        sums = list(accumulate(values + [0.0] * (_WIDEST - len(values))))
        self._brings = [before + 0.05 * (new - before) for before, new in zip(self._brings, sums, strict=True)]

    @property
    def names(self) -> list[str]:
        """What the drafts are made by."""
        return [source.name for source in self.sources]

    @property
    def _cost(self) -> StepCost:
        """Of the next pass."""
        return self.with_heads if self.heads_on and self.with_heads is not None else self.plain

    def _switch_heads(self, rows: int, threads: int, context: int) -> None:
        """Decide whether the heads run in the next pass: where they pay, and once in a while to see whether they do."""
        if self.medusa is None:
            return
        if not threads:
            self.heads_on = self._passes_off == 0  # prompts are read: the heads begin where they end
            return
        if self._pays(rows, threads, context):
            self.heads_on, self._probing, self._passes_off, self._probe_after = True, False, 0, _FIRST_PROBE
            return
        self.heads_on = self._probing = False
        self._passes_off += 1
        if self._passes_off >= self._probe_after:
            self.heads_on = self._probing = True
            self._passes_off, self._probe_after = 0, min(2 * self._probe_after, _LAST_PROBE)

    def _pays(self, rows: int, threads: int, context: int) -> bool:
        assert self.with_heads is not None
        without = rows / self.plain.seconds(rows, context)
        return any(
            (rows + threads * brought) / self.with_heads.seconds(rows + threads * width, context) > LEAST_GAIN * without
            for width, brought in enumerate(self._brings, 1)
        )

    def learn(
        self, work: Pass, verified: Sequence[Verified], seconds: float, logits_of_heads: Callable[[list[int]], Tensor]
    ) -> None:
        """What came of a pass that took `seconds`, once its tokens are ahead of their threads.

        `logits_of_heads(tokens)` gives the heads' logits [heads, tokens, vocabulary] for tokens of the pass's output.
        No answer is to fail by its drafts: where the heads do, they are off from then on, and the log says why.
        """
        self._cost.observe(work.tokens, sum(row.end for row in work.rows.values()), seconds)
        for found in verified:
            if found.row.draft is not None:
                self._judge(found, self._proposed[found.row.thread])
        if self.heads_on and self.medusa is not None:
            try:
                self._ask_heads(self.medusa, verified, logits_of_heads)
            except Exception as error:
                _log.warning("the heads failed and are off from now on: %s: %s", type(error).__name__, error)
                self.sources.remove(self.medusa)
                self.medusa, self.heads_on = None, False

    def _ask_heads(
        self, medusa: MedusaDrafts, verified: Sequence[Verified], logits_of_heads: Callable[[list[int]], Tensor]
    ) -> None:
        """Keep what the heads guess behind every thread that goes on."""
        alive = [found for found in verified if found.sampled is not None]
        if alive:
            medusa.take([found.row.thread for found in alive], logits_of_heads([found.last for found in alive]))

    def _judge(self, found: Verified, proposal: Proposal) -> None:
        """Count the guesses that were verified behind a right path. A draft may have been cut."""
        right = set(found.nodes)
        assert found.row.draft is not None
        for number, guess in enumerate(proposal.guesses[: len(found.row.draft)]):
            parent = proposal.draft.parents[number] if proposal.draft.parents is not None else number - 1
            if parent == -1 or parent in right:
                self.acceptance.observe(guess.kind, number in right)

    def forget(self, group: Group) -> None:
        """A group has ended."""
        for source in self.sources:
            source.forget(group)


def _threads_of(groups: Sequence[Group], max_rows: int) -> tuple[int, int, list[tuple[Group, Thread]]]:
    """How many threads the next pass will have at least, the tokens of their paths, and those that can have drafts."""
    rows = context = 0
    drafting: list[tuple[Group, Thread]] = []
    for group in groups:
        limit = group.params.max_parallel_threads
        decoding = group.decoding if limit is None else [thread for thread in group.threads if not thread.ahead][:limit]
        for thread in decoding:
            if rows == max_rows:
                return rows, context, drafting
            if thread.ahead and (len(thread.ahead) >= RUN_AHEAD or thread.ahead[-1].token in group.eos):
                continue
            rows, context = rows + 1, context + thread.length
            if group.params.drafts and thread.blocks and thread.length - thread.stored == 1:
                drafting.append((group, thread))
    return rows, context, drafting
