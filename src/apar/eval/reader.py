"""How likely a model that had no part in them finds the answers: the independent reader's loss."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from apar.eval.answered import Answered
from apar.eval.answering import Report
from apar.eval.journal import Journal, Key
from apar.eval.paired import difference
from apar.eval.plan import Plan
from apar.eval.prompts import EvalPrompt
from apar.eval.scoring import Text, load_scorer, read
from apar.eval.speed import ByWay
from apar.eval.ways import Way, pairs, with_own_text
from apar.tree import ParagraphTree

Work = tuple[Key, EvalPrompt, Answered]
Rates = Mapping[str, tuple[float, float]]
"""Nats a token and a character by the prompt's id."""


def read_answers(
    plan: Plan, sets: Mapping[str, Sequence[EvalPrompt]], answers: Mapping[str, ByWay], journal: Journal, report: Report
) -> None:
    """Let the plan's reader read every answer once; the sums of nats and the tokens go to the journal."""
    missing = [work for name, prompts in sets.items() for work in _missing(name, prompts, answers[name], journal)]
    if not missing:
        return
    scorer = load_scorer(plan.read_by, plan)
    texts = [Text(prompt.messages, ParagraphTree.leaf(answer.text), False) for _, prompt, answer in missing]
    found = read(scorer, texts, scorer.context, plan.batch_tokens)
    for done, ((key, _, _), (losses, _)) in enumerate(zip(missing, found, strict=True)):
        report("reading answers", done, len(missing))
        value = {"tokens": 0, "nats": 0.0} if losses is None else {"tokens": len(losses), "nats": float(losses.sum())}
        journal.put(key, value)


def _missing(name: str, prompts: Sequence[EvalPrompt], answers: ByWay, journal: Journal) -> list[Work]:
    return [
        (key, prompt, found[prompt.id])
        for way in with_own_text(answers)
        for found in (answers[way],)
        for prompt in prompts
        if prompt.id in found and (key := _key(name, prompt.id, way)) not in journal
    ]


def reader_figures(name: str, prompts: Sequence[EvalPrompt], answers: ByWay, journal: Journal) -> dict[str, Any]:
    """Mean nats a token and a character of each way's answers, and both paired with the others'."""
    rates = {way: _rates(name, prompts, answers[way], way, journal) for way in with_own_text(answers)}
    return {
        "nats": {way: _means(list(each.values())) for way, each in rates.items()},
        "paired": {
            first: {other: _both_paired(rates[first], rates[other]) for other in others}
            for first, others in pairs(answers).items()
        },
    }


def _rates(
    name: str, prompts: Sequence[EvalPrompt], answers: Mapping[str, Answered], way: Way, journal: Journal
) -> dict[str, tuple[float, float]]:
    """Nats a token and a character of each answer that has text and was read."""
    found = {}
    for prompt in prompts:
        value = journal.get(_key(name, prompt.id, way))
        if prompt.id in answers and value is not None and value["tokens"]:
            found[prompt.id] = (value["nats"] / value["tokens"], value["nats"] / len(answers[prompt.id].text))
    return found


def _means(rates: Sequence[tuple[float, float]]) -> dict[str, Any] | None:
    if not rates:
        return None
    token, character = (math.fsum(column) / len(rates) for column in zip(*rates, strict=True))
    return {"answers": len(rates), "a_token": token, "a_character": character}


def _both_paired(first: Rates, second: Rates) -> dict[str, Any]:
    return {unit: _paired(first, second, k) for k, unit in enumerate(("a_token", "a_character"))}


def _paired(first: Rates, second: Rates, unit: int) -> dict[str, Any] | None:
    both = [key for key in first if key in second]
    return difference([first[key][unit] for key in both], [second[key][unit] for key in both])


def _key(name: str, prompt: str, way: Way) -> Key:
    return name, prompt, way, "read"
