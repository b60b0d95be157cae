"""The whole evaluation behind `apar evaluate`."""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from apar.data.files import atomic_write
from apar.eval.answering import Answering, Report
from apar.eval.fingerprint import fingerprint
from apar.eval.held_out import held_out_loss
from apar.eval.instructions import Judge, instruction_figures, load_judge
from apar.eval.journal import Journal
from apar.eval.plan import Plan
from apar.eval.prompts import EvalPrompt, read_prompts
from apar.eval.reader import read_answers, reader_figures
from apar.eval.repetition import repetition_figures
from apar.eval.samples import check_samples, write_samples
from apar.eval.speed import ByWay, speed_figures
from apar.eval.ways import subject


def evaluate(
    plan: Plan, report: Report = lambda what, done, total: None, samples: Path | None = None
) -> dict[str, Any]:
    """Answer, measure, and write everything to `plan.output`; returns the same without the single answers.

    `samples` is a Markdown file to write answers side by side to. Raises UserError for prompts, models or a journal
    that do not fit the plan, RunError where a file cannot be written.
    """
    if plan.threads:
        torch.set_num_threads(plan.threads)
    if samples is not None:
        check_samples(plan)
    sets = read_prompts(plan)
    judge = load_judge() if any(chosen.ifbench for chosen in plan.sets.values()) else None
    journal = Journal(plan.journal, fingerprint(plan, sets))
    # The losses first: a twin that does not fit is told before the long part.
    loss = held_out_loss(plan, journal, report)
    answers = _answers(plan, sets, journal, report)
    if plan.read:
        read_answers(plan, sets, answers, journal, report)
    if samples is not None:
        write_samples(samples, plan, sets, answers)
    result = {
        "plan": plan.model_dump(mode="json"),
        "machine": _machine(),
        "sets": {name: _set_figures(plan, name, sets[name], answers[name], journal, judge) for name in sets},
        "held_out_loss": loss,
    }
    _write(plan.output, {**result, "answers": {name: _rows(sets[name], answers[name], journal, name) for name in sets}})
    return result


def _answers(
    plan: Plan, sets: Mapping[str, Sequence[EvalPrompt]], journal: Journal, report: Report
) -> dict[str, ByWay]:
    answering = Answering(plan, journal, report)
    for name, prompts in sets.items():
        answering.run(name, prompts)
    return {name: answering.answers(name, prompts) for name, prompts in sets.items()}


def _set_figures(
    plan: Plan, name: str, prompts: Sequence[EvalPrompt], answers: ByWay, journal: Journal, judge: Judge | None
) -> dict[str, Any]:
    instructed = [prompt for prompt in prompts if prompt.instructions]
    return {
        "prompts": len(prompts),
        "answered": len(answers[subject(answers)]),
        "kinds": dict(Counter(prompt.kind for prompt in prompts)),
        "speed": speed_figures(prompts, answers),
        "repetition": repetition_figures(prompts, answers),
        "reader": reader_figures(name, prompts, answers, journal) if plan.read else None,
        "instructions": None if judge is None or not instructed else instruction_figures(instructed, answers, judge),
    }


def _rows(prompts: Sequence[EvalPrompt], answers: ByWay, journal: Journal, name: str) -> list[dict[str, Any]]:
    """Every answer with its figures, by prompts; the prompts themselves, which may not be ours to pass on, by id."""
    return [
        {
            **found[prompt.id].to_dict(),
            "kind": prompt.kind,
            "category": prompt.category,
            "read": journal.get((name, prompt.id, way, "read")),
        }
        for prompt in prompts
        for way, found in answers.items()
        if prompt.id in found
    ]


def _machine() -> dict[str, Any]:
    return {"threads": torch.get_num_threads(), "torch": torch.__version__, "processor": platform.machine()}


def _write(output: Path, result: dict[str, Any]) -> None:
    """An answer a line, so that the file is readable and a change of it is, too."""
    answers = result.pop("answers")
    head = json.dumps(result, indent=1, ensure_ascii=False)
    groups = [
        json.dumps(name) + ": [\n  " + ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n ]"
        for name, rows in answers.items()
    ]
    with atomic_write(output) as file:
        file.write(head.removesuffix("\n}") + ',\n "answers": {\n ' + ",\n ".join(groups) + "\n }\n}\n")
