"""Answering the prompts of an evaluation: some one after the other and timed, the others in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from apar.errors import UserError
from apar.eval.answered import Answered
from apar.eval.journal import Journal, Key
from apar.eval.models import Models
from apar.eval.plan import Plan
from apar.eval.prompts import EvalPrompt
from apar.eval.ways import Way, with_own_text

Report = Callable[[str, int, int], None]
"""Called with what is being done, how many of it are done, and of how many."""


class Answering:
    """Answers prompts in every way of the plan. Whatever the journal holds already is not done again."""

    def __init__(self, plan: Plan, journal: Journal, report: Report) -> None:
        self._plan = plan
        self._journal = journal
        self._report = report
        self._models = Models(plan)
        self._warm = False

    def run(self, name: str, prompts: Sequence[EvalPrompt]) -> None:
        """Answer the prompts of the set `name`: the first ones timed, the others not.

        Raises UserError where the model takes none of them.
        """
        fitting = [prompt for prompt in prompts if self._fits(name, prompt)]
        if not fitting:
            raise UserError(f"no prompt of the set {name} fits into the context of {self._plan.subject}")
        timed = self._plan.sets[name].timed
        border = len(fitting) if timed is None else timed
        self._timed(name, fitting[:border])
        for way in with_own_text(self._models.ways):
            self._batches(name, way, fitting[border:])

    def answers(self, name: str, prompts: Sequence[EvalPrompt]) -> dict[Way, dict[str, Answered]]:
        """The answers of a set, by the way and the prompt's id."""
        return {
            way: {
                prompt.id: Answered.from_dict(self._journal[key])
                for prompt in prompts
                if (key := _key(name, prompt, way)) in self._journal
            }
            for way in self._models.ways
        }

    def _fits(self, name: str, prompt: EvalPrompt) -> bool:
        """Whether the model takes a prompt; what was found once is kept, so that no model need be loaded."""
        key = (name, prompt.id, "fits")
        if key not in self._journal:
            self._journal.put(key, self._models.fits(prompt))
        return bool(self._journal[key])

    def _timed(self, name: str, prompts: Sequence[EvalPrompt]) -> None:
        """One answer at a time; which way goes first alternates, so that all meet the same load of the machine."""
        ways = self._models.ways
        for number, prompt in enumerate(prompts):
            self._report(f"{name}, timed", number, len(prompts))
            turn = number % len(ways)
            for way in (*ways[turn:], *ways[:turn]):
                if _key(name, prompt, way) not in self._journal:
                    self._warm_up(prompt)
                    self._keep(name, self._models.answer_alone(way, prompt))

    def _warm_up(self, prompt: EvalPrompt) -> None:
        if not self._warm:
            self._models.warm_up(prompt)
            self._warm = True

    def _batches(self, name: str, way: Way, prompts: Sequence[EvalPrompt]) -> None:
        missing = [prompt for prompt in prompts if _key(name, prompt, way) not in self._journal]
        done = len(prompts) - len(missing)
        for batch in _parts(missing, self._plan.batch):
            self._report(f"{name}, {way}", done, len(prompts))
            for answer in self._models.answer(way, batch):
                self._keep(name, answer)
            done += len(batch)

    def _keep(self, name: str, answered: Answered) -> None:
        self._journal.put((name, answered.prompt, answered.way), answered.to_dict())


def _key(name: str, prompt: EvalPrompt, way: Way) -> Key:
    return name, prompt.id, way


def _parts(prompts: Sequence[EvalPrompt], size: int) -> Iterator[Sequence[EvalPrompt]]:
    return (prompts[start : start + size] for start in range(0, len(prompts), size))
