"""Whether answers follow the verifiable instructions of IFBench, by the verifiers of `if-verifiable`."""

from __future__ import annotations

import contextlib
import io
import random
from collections.abc import Callable, Sequence
from typing import Any

from apar.errors import RunError
from apar.eval.answered import Answered
from apar.eval.paired import mcnemar
from apar.eval.prompts import EvalPrompt
from apar.eval.speed import ByWay
from apar.eval.ways import pairs, with_own_text
from apar.extras import require

Judge = Callable[[EvalPrompt, str], bool | None]
"""Whether a text follows all instructions of a prompt, strictly; None where that cannot be said here."""


def load_judge() -> Judge:
    """The verifiers. Raises UserError where they are not installed."""
    require("eval", "if_verifiable")
    # On being imported it tries to fetch data of NLTK, and prints where it cannot.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        from if_verifiable.common import evaluate_instructions
        from if_verifiable.ifbench import INSTRUCTION_DICT

    def judge(prompt: EvalPrompt, text: str) -> bool | None:
        names = [name for name, _ in prompt.instructions]
        if unknown := [name for name in names if name not in INSTRUCTION_DICT]:
            raise RunError(f"the installed if-verifiable does not know the instruction {unknown[0]}; upgrade it")
        arguments = [dict(given) for _, given in prompt.instructions]
        try:
            with _fixed_draws(prompt.id):
                _, scores = evaluate_instructions(text, names, arguments, prompt.text, INSTRUCTION_DICT)
        except Exception as error:
            if _lacks_data(error):
                return None
            raise RunError(f"the verifier of {', '.join(names)} failed on an answer: {error}") from error
        return bool(scores.binary_strict == 1)

    return judge


@contextlib.contextmanager
def _fixed_draws(seed: str) -> Any:
    """Verifiers draw what a prompt leaves open: the same for every answer to it."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


def _lacks_data(error: Exception) -> bool:
    """Whether NLTK misses a resource: it raises LookupError itself, and tells so."""
    return type(error) is LookupError and "nltk" in str(error).lower()


def instruction_figures(prompts: Sequence[EvalPrompt], answers: ByWay, judge: Judge) -> dict[str, Any]:
    """The strict pass rate of each way over the prompts that all answers can be judged on, and McNemar's test of the
    subject (`first`) against every other way (`second`). `unjudged` prompts are left out for all.
    """
    ways = with_own_text(answers)
    rows: dict[str, list[bool]] = {}
    unjudged = 0
    for prompt in prompts:
        found = [answers[way].get(prompt.id) for way in ways]
        answered = [answer for answer in found if answer is not None]
        if len(answered) < len(ways):
            continue
        passed = _passed(prompt, answered, judge)
        if passed is None:
            unjudged += 1
        else:
            rows[prompt.id] = passed
    columns = {way: [row[number] for row in rows.values()] for number, way in enumerate(ways)}
    return {
        "prompts": len(rows),
        "unjudged": unjudged,
        "passed": {way: sum(column) / len(column) if column else None for way, column in columns.items()},
        "paired": {
            first: {other: mcnemar(columns[first], columns[other]) for other in others}
            for first, others in pairs(answers).items()
        },
        "each": {key: dict(zip(ways, row, strict=True)) for key, row in rows.items()},
    }


def _passed(prompt: EvalPrompt, answered: Sequence[Answered], judge: Judge) -> list[bool] | None:
    found = [judge(prompt, answer.text) for answer in answered]
    known = [one for one in found if one is not None]
    return known if len(known) == len(found) else None
