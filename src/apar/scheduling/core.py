"""What every engine that runs passes does: takes requests, and steps until they are answered."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence

from apar.decoding.by_form.form_tokens import FormTokens
from apar.decoding.by_form.thread_form import ThreadForm
from apar.decoding.detokenize import Decode, Detokenizer
from apar.decoding.forced_answer import ForcedAnswer
from apar.decoding.group import Group
from apar.decoding.lockstep import complete_step
from apar.decoding.params import SamplingParams
from apar.decoding.requests import Limits, Request, check
from apar.decoding.statistics import EngineStatistics
from apar.decoding.vocabulary import Vocabulary
from apar.errors import AparError, RunError
from apar.scheduling.counters import Counters
from apar.scheduling.scheduler import Pass, Scheduler
from apar.scheduling.verified import Verified
from apar.tokens import ControlTokens, Encode


class EngineCore(ABC):
    """Decodes many answers at once, each in as many threads as it forks into.

    One `step` is one forward pass: schedule, run, take over. A group's logical step is complete, and its
    events are told, when all its live threads have sampled; short of rows or blocks, that takes several
    passes. An engine is for one thread of the host program. A subclass says how a pass runs (`_run`), and where it has
    more to do in a step.

    A path has `context` tokens at most. `encode` gives the ids of a text that continues another, without special
    tokens: with it answers can fork by the form of their text.
    """

    def __init__(
        self,
        decode: Decode,
        eos: frozenset[int],
        control: ControlTokens | None,
        scheduler: Scheduler,
        context: int,
        vocabulary_size: int,
        encode: Encode | None = None,
    ) -> None:
        self.pool, self.scheduler, self.context = scheduler.pool, scheduler, context
        self.groups: list[Group] = []
        self._vocabulary_size = vocabulary_size
        self._decode, self._vocabulary = decode, Vocabulary(None, control, eos)
        self._form_tokens = None if encode is None else FormTokens(encode, decode, eos, vocabulary_size)
        self._counters = Counters()
        self._arrived = 0
        # Groups that were in a pass that failed: each is run alone, to see which of them it was.
        self._suspects: list[Group] = []

    def add(
        self,
        prompt: Sequence[int],
        params: SamplingParams,
        choice: int = 0,
        forced: ForcedAnswer | None = None,
        question: str = "",
    ) -> Group:
        """Queue a request for one answer, the `choice` of those with its seed; `prompt` are token ids.

        Rules that fork read the `question` that the answer is to.

        With a `forced` answer its tokens are taken in place of those that the model would say. Raises RequestError
        where the request can never be served.
        """
        check(prompt, params, self.limits)
        if forced is not None:
            forced.check(params, len(prompt), self.context)
        request = Request(list(prompt), params, choice, question)
        group = Group.start(self._arrived, request, self._vocabulary, self.context, Detokenizer(self._decode))
        group.forced = forced
        if params.by_rules and self._form_tokens is not None:
            root = group.threads[0]
            root.form = ThreadForm(self._form_tokens, question, len(prompt), params.max_items)
        self._arrived += 1
        self.groups.append(group)
        return group

    @property
    def limits(self) -> Limits:
        """What can be served."""
        by_rules = self._form_tokens is not None
        return Limits("the engine", self.context, self._vocabulary.control, self._vocabulary_size, by_rules=by_rules)

    def step(self) -> None:
        """Run one forward pass, if there is anything to run. A group that fails carries its error."""
        if not self.groups:
            return
        began = time.perf_counter()
        work = self._plan()
        assert work.rows, "the first group always has room for a row"
        try:
            verified = self._run(work)
        except Exception as error:
            self._recover(work, error)
            return
        accepted = {found.row.thread: found.nodes for found in verified if found.nodes}
        self._move(self.scheduler.commit(work, self.groups, accepted))
        groups = work.groups()
        self._counters.ran(work, groups, began)
        for found in verified:
            if found.sampled is None:
                self._discard(found.row.group)
            else:
                found.row.thread.ahead.extend(found.sampled)
                self._counters.verified(found)
        self._learn(work, verified, time.perf_counter() - began)
        for group in groups:
            self._take_over(group)

    def cancel(self, group: Group, error: AparError | None = None) -> None:
        """End a group now and free its blocks; nothing more is told of it. A finished one stays as it is."""
        if group.done:
            return
        group.error = error
        for thread in group.decoding:
            self.scheduler.release(group, thread)
        group.threads, group.early = [], []
        self._counters.ended(group)
        self._close(group)

    def statistics(self) -> EngineStatistics:
        """What was done so far and what is under way. Cheap, and may be asked in any thread of the host program."""
        return self._counters.statistics(self.groups, self.pool, self.scheduler)

    def check(self) -> None:
        """Raise RunError unless every block is free or held by exactly the threads that count it."""
        tables = [thread.blocks for group in self.groups for thread in group.decoding]
        self.pool.check(tables)
        for group in self.groups:
            held = Counter(block for thread in group.decoding for block in thread.blocks)
            if held != group.holders:
                raise RunError(f"{group.name} holds the blocks {dict(held)} and counts {dict(group.holders)}")

    @abstractmethod
    def _run(self, work: Pass) -> list[Verified]:
        """Run a pass, and draw the tokens of the rows whose path ends in it."""

    def _next_pass(self) -> Pass:
        """The next pass of all groups."""
        return self.scheduler.plan(self.groups)

    def _move(self, moves: Sequence[tuple[int, int]]) -> None:  # noqa: B027 (most have nothing to do here)
        """Move the keys and values of slots (from, to), which only drafts need."""

    def _learn(self, work: Pass, verified: Sequence[Verified], seconds: float) -> None:  # noqa: B027 (most have nothing to do here)
        """Told what a pass came to, and how long it took."""

    def _before_alone(self) -> None:  # noqa: B027 (most have nothing to do here)
        """Told that the next pass is of one group alone, without drafts."""

    def _clear(self, blocks: Sequence[int]) -> None:  # noqa: B027 (most have nothing to do here)
        """Make sure that what is in blocks, which is not numbers, spreads to nobody."""

    def _update_early(self, group: Group) -> None:  # noqa: B027 (most have nothing to do here)
        """Only drafts bring forks that are ahead of their answer."""

    def _is_plain(self, work: Pass) -> bool:
        """Whether a pass is the same as it would be without drafts."""
        return True

    def _plan(self) -> Pass:
        """The next pass; while a failure is being traced, one of a single group, without drafts."""
        while self._suspects:
            suspect = self._suspects.pop()
            if not suspect.done:
                self._before_alone()
                others = [group for group in self.groups if group is not suspect]
                return self.scheduler.plan([suspect, *others], alone=True)
        return self._next_pass()

    def _take_over(self, group: Group) -> None:
        """Complete the logical steps for which every live thread of the group has a token."""
        if not group.ready:
            self._update_early(group)
            return
        tokens, threads = group.visible_tokens, group.created
        try:
            self._complete_steps(group)
        except Exception as error:
            self._fail(group, f"{type(error).__name__}: {error}")
            return
        self._counters.decoded(group, group.visible_tokens - tokens, group.created - threads)
        if group.done:
            self._counters.answered(group)
            self.scheduler.growth.learn(group, self.pool)
            self._close(group)

    def _complete_steps(self, group: Group) -> None:
        """What ended threads hold is free at once; refused ones sample again, rewritten ones behind another path."""
        while group.ready:
            completed = complete_step(group)
            for thread, kept in completed.rewritten:
                self.scheduler.take_back(group, thread, kept)
                self.scheduler.feed_again(group, thread)
            for thread in completed.ended:
                self.scheduler.release(group, thread)
            self._update_early(group)
            for thread in (*completed.refused, *completed.outdated):
                self.scheduler.feed_again(group, thread)

    def _close(self, group: Group) -> None:
        group.ended = time.perf_counter()
        self.groups.remove(group)

    def _discard(self, group: Group) -> None:
        """Fail a group whose logits are not numbers, and all trace of them in the cache."""
        if group.done:
            return
        blocks = [block for block in group.holders if not self._shared(block, group)]
        self.pool.forget(blocks)
        self._fail(group, "the model's logits are not numbers")
        if blocks:
            self._clear(blocks)

    def _shared(self, block: int, group: Group) -> bool:
        return any(block in other.holders for other in self.groups if other is not group)

    def _fail(self, group: Group, reason: str) -> None:
        self.cancel(group, RunError(f"{group.name} failed: {reason}"))

    def _recover(self, work: Pass, error: Exception) -> None:
        """Fail the group of a failed pass; where there were several, find out which by running each alone. A group
        that had drafts is run without them: no answer is to fail by them.
        """
        self.scheduler.abandon(work)
        groups = work.groups()
        if len(groups) > 1 or not self._is_plain(work):
            self._suspects = groups
        elif isinstance(error, AparError):
            self.cancel(groups[0], error)
        else:
            self._fail(groups[0], f"{type(error).__name__}: {error}")
