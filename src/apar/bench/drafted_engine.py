"""The engine in this process for `apar bench drafts`: the model's own answers, or real ones that are forced."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from apar.bench.replay import ReplayAnswer
from apar.bench.side_by_side import Run
from apar.decoding.answer import Answer, summed
from apar.decoding.forced_answer import ForcedAnswer
from apar.decoding.group import Group
from apar.decoding.params import SamplingParams
from apar.engine.engine import Engine
from apar.engine.llm import LLM

WAYS = ("sequential", "sequential with drafts", "forked", "forked with drafts")
"""Sequential is the same answer, one thread at a time; where answers are forced, in one thread."""


class OwnAnswers:
    """The model's own answers to questions, as they come in every way: their texts are the same."""

    def __init__(self, llm: LLM, questions: Sequence[tuple[str, str]], params: SamplingParams) -> None:
        """`questions` with the category of each."""
        self.names = [question for question, _ in questions]
        self.categories = [category for _, category in questions]
        self.ways = WAYS
        self._llm, self._params = llm, params

    def run(self, numbers: Sequence[int], way: str) -> Run:
        """See `SideBySide`."""
        params = replace(self._params, drafts=_has_drafts(way), max_parallel_threads=None if _forks(way) else 1)
        forget(self._llm.engine)
        began, passes = time.perf_counter(), self._llm.statistics().passes
        answers = self._llm.generate([self.names[number] for number in numbers], params)
        return run_of(answers, time.perf_counter() - began, self._llm.statistics().passes - passes)


class ForcedAnswers:
    """Real answers whose tokens are forced, with drafts that are right as often as it is said.

    Sequentially the answer is one thread; forked it has the threads of its tree.
    """

    def __init__(self, engine: Engine, answers: Sequence[ReplayAnswer]) -> None:
        self.names = [answer.id for answer in answers]
        self.categories = [answer.category for answer in answers]
        self.ways = WAYS
        self._engine, self._answers = engine, answers

    def run(self, numbers: Sequence[int], way: str) -> Run:
        """See `SideBySide`."""
        forget(self._engine)
        began, passes = time.perf_counter(), self._engine.statistics().passes
        groups = [self._add(self._answers[number], _forks(way), _has_drafts(way)) for number in numbers]
        while self._engine.groups:
            self._engine.step()
        seconds = time.perf_counter() - began
        for group in groups:
            if group.error:
                raise group.error
        return run_of([Answer.of(group) for group in groups], seconds, self._engine.statistics().passes - passes)

    def _add(self, answer: ReplayAnswer, forked: bool, drafts: bool) -> Group:
        forced: ForcedAnswer = answer.forced["forked" if forked else "sequential"]
        return self._engine.add(answer.prompt, replace(forced.params(), drafts=drafts), forced=forced)


def _forks(way: str) -> bool:
    return way.startswith("forked")


def _has_drafts(way: str) -> bool:
    return way.endswith("with drafts")


def forget(engine: Engine) -> None:
    """Let no run find what another stored: every one reads its prompts itself."""
    engine.pool.forget(range(engine.pool.num_blocks))


def run_of(answers: Sequence[Answer], seconds: float, passes: int) -> Run:
    """The figures of answers that were decoded together."""
    return Run(
        seconds,
        tuple(answer.seconds for answer in answers),
        sum(answer.tokens for answer in answers),
        passes,
        tuple(answer.text for answer in answers),
        sum(answer.threads > 1 for answer in answers),
        summed([answer.drafted for answer in answers]),
        summed([answer.accepted for answer in answers]),
    )
