"""Real answers forced through a real vLLM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from apar.bench.answers import BenchAnswer
from apar.bench.passes import blocks_held, decoding
from apar.bench.replay import Load, Run
from apar.bench.scripted import Mode, ScriptedAnswer, fitting, scripted_answers
from apar.bench.target import Target
from apar.bench.vllm_plan import VllmPlan
from apar.bench.vllm_teller import VllmTeller


class VllmPlayer:
    """A vLLM as a `Player`. Use it as a context manager, or close it.

    Passes and KV blocks are counted by vLLM's scheduler, blocks after each pass. Raises as `VllmTeller` does.
    """

    def __init__(self, target: Target, answers: Sequence[BenchAnswer], plan: VllmPlan) -> None:
        control, scripted = scripted_answers(target, answers)
        context = plan.context(target, max(answer.longest for answer in scripted))
        self.answers = fitting(scripted, context)
        self.left_out = len(scripted) - len(self.answers)
        self._teller = VllmTeller(target, control, plan, context)

    def tell(self, answer: ScriptedAnswer, mode: Mode) -> Run:
        """Decode an answer alone; nothing of it is in the cache before."""
        told = self._teller.tell([(answer.prompt, answer.scripts[mode])], 1)
        [group], passes = told.groups, decoding(told.passes)
        peak, mean = blocks_held(passes)
        return Run(group.ended - group.first_token, len(passes) - 1, group.first_token - group.began, peak, mean)

    def tell_all(self, mode: Mode, concurrency: int | None) -> Load:
        """Decode all answers, `concurrency` of them at a time; None is all at once."""
        scripted = [(answer.prompt, answer.scripts[mode]) for answer in self.answers]
        told = self._teller.tell(scripted, concurrency or len(scripted))
        peak, mean = blocks_held(told.passes)
        return Load(
            told.seconds,
            len(told.passes),
            sum(answer.stats.tokens for answer in self.answers),
            tuple(group.ended - group.began for group in told.groups),
            peak,
            mean,
            sum(one.resumed for one in told.passes),
        )

    def facts(self) -> dict[str, Any]:
        """Which engine it is and how it was set up, for the report."""
        return self._teller.facts()

    def close(self) -> None:
        """End vLLM. May be called again."""
        self._teller.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
