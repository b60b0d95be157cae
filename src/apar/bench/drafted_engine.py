"""The engine in this process for `apar bench drafts`: the model's own answers, or real ones that are forced."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from apar.bench.drafts import Run
from apar.bench.replay import ReplayAnswer
from apar.decoding.answer import Answer, summed
from apar.decoding.forced_answer import ForcedAnswer
from apar.decoding.group import Group
from apar.decoding.params import SamplingParams
from apar.engine.engine import Engine
from apar.engine.llm import LLM


class OwnAnswers:
    """The model's own answers to questions, as they come in every way: their texts are the same."""

    def __init__(self, llm: LLM, questions: Sequence[tuple[str, str]], params: SamplingParams) -> None:
        """`questions` with the category of each."""
        self.names = [question for question, _ in questions]
        self.categories = [category for _, category in questions]
        self._llm, self._params = llm, params

    def run(self, numbers: Sequence[int], forked: bool, drafts: bool) -> Run:
        """See `DraftedEngine`."""
        params = replace(self._params, drafts=drafts, max_parallel_threads=None if forked else 1)
        _forget(self._llm.engine)
        began, passes = time.perf_counter(), self._llm.statistics().passes
        answers = self._llm.generate([self.names[number] for number in numbers], params)
        return _run(answers, time.perf_counter() - began, self._llm.statistics().passes - passes)


class ForcedAnswers:
    """Real answers whose tokens are forced, with drafts that are right as often as it is said.

    Sequentially the answer is one thread; forked it has the threads of its tree.
    """

    def __init__(self, engine: Engine, answers: Sequence[ReplayAnswer]) -> None:
        self.names = [answer.id for answer in answers]
        self.categories = [answer.category for answer in answers]
        self._engine, self._answers = engine, answers

    def run(self, numbers: Sequence[int], forked: bool, drafts: bool) -> Run:
        """See `DraftedEngine`."""
        _forget(self._engine)
        began, passes = time.perf_counter(), self._engine.statistics().passes
        groups = [self._add(self._answers[number], forked, drafts) for number in numbers]
        while self._engine.groups:
            self._engine.step()
        seconds = time.perf_counter() - began
        for group in groups:
            if group.error:
                raise group.error
        return _run([Answer.of(group) for group in groups], seconds, self._engine.statistics().passes - passes)

    def _add(self, answer: ReplayAnswer, forked: bool, drafts: bool) -> Group:
        forced: ForcedAnswer = answer.forced["forked" if forked else "sequential"]
        return self._engine.add(answer.prompt, replace(forced.params(), drafts=drafts), forced=forced)


def _forget(engine: Engine) -> None:
    """Let no run find what another stored: every one reads its prompts itself."""
    engine.pool.forget(range(engine.pool.num_blocks))


def _run(answers: Sequence[Answer], seconds: float, passes: int) -> Run:
    return Run(
        seconds,
        tuple(answer.seconds for answer in answers),
        sum(answer.tokens for answer in answers),
        passes,
        tuple(answer.text for answer in answers),
        summed([answer.drafted for answer in answers]),
        summed([answer.accepted for answer in answers]),
    )
