"""One model by every fork policy that it has, and by Skeleton-of-Thought, beside sequential decoding."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from apar.bench.drafted_engine import forget, run_of
from apar.bench.side_by_side import Run
from apar.decoding.params import SamplingParams
from apar.engine.llm import LLM
from apar.errors import UserError
from apar.skeleton.answering import skeleton_answers

TAUGHT = ("sequential", "model")
"""Of a model that was taught to fork; sequential is its same answer, one thread at a time."""
UNTAUGHT = ("sequential", "rules", "skeleton")
"""Of a model as it comes; sequential is decoding without forks."""


def chosen_ways(forks: bool, asked: Sequence[str] | None) -> tuple[str, ...]:
    """Sequential decoding, and those asked for (None: all) of the ways that such a model has.

    Raises UserError for another.
    """
    known = TAUGHT if forks else UNTAUGHT
    for name in asked or ():
        if name in known:
            continue
        if name not in {*TAUGHT, *UNTAUGHT}:
            raise UserError(f"there is no policy {name!r}; there are model, rules and skeleton")
        if forks:
            raise UserError(f"{name} is for a model as it comes, and this one was taught to fork; name its base")
        raise UserError("this model was not taught to fork, and has no policy model; take rules or skeleton")
    return tuple(way for way in known if way == "sequential" or asked is None or way in asked)


class PolicyAnswers:
    """The answers to questions in each of some ways; their texts differ."""

    def __init__(
        self, llm: LLM, questions: Sequence[tuple[str, str]], params: SamplingParams, ways: Sequence[str]
    ) -> None:
        """`questions` with the category of each."""
        self.names = [question for question, _ in questions]
        self.categories = [category for _, category in questions]
        self.ways = tuple(ways)
        self._llm, self._params = llm, params

    def run(self, numbers: Sequence[int], way: str) -> Run:
        """See `SideBySide`."""
        questions = [self.names[number] for number in numbers]
        forget(self._llm.engine)
        began, passes = time.perf_counter(), self._llm.statistics().passes
        if way == "skeleton":
            return self._skeleton(questions, began, passes)
        answers = self._llm.generate(questions, self._of(way))
        return run_of(answers, time.perf_counter() - began, self._llm.statistics().passes - passes)

    def _of(self, way: str) -> SamplingParams:
        if way == "rules":
            return replace(self._params, fork_by="rules")
        if way == "model":
            return self._params
        if self._llm.forks:
            return replace(self._params, max_parallel_threads=1)
        return replace(self._params, fork=False)

    def _skeleton(self, questions: Sequence[str], began: float, passes: int) -> Run:
        answers = skeleton_answers(self._llm, questions, self._params)
        return Run(
            time.perf_counter() - began,
            tuple(answer.seconds for answer in answers),
            sum(answer.tokens for answer in answers),
            self._llm.statistics().passes - passes,
            tuple(answer.text for answer in answers),
            sum(bool(answer.details) for answer in answers),
        )
