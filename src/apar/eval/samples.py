"""Answers of the taught model and the twin beside each other, so that a reader cannot see which is which."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from apar.data.files import atomic_write
from apar.errors import UserError
from apar.eval.answered import Answered
from apar.eval.plan import Plan
from apar.eval.prompts import EvalPrompt
from apar.eval.speed import ByWay

_NAMES = ("A", "B")
_INTRODUCTION = """\
# Answers side by side

The first {count} of the prompts that the evaluation's seed drew, none left out, each answered greedily by the model
that was taught to fork and by its sequential twin, trained on the same data. Which of them is A and which is B is drawn
for each prompt anew; the key is at the end. Answers that were cut at {max_tokens} tokens say so. Made by
`apar evaluate PLAN.yaml --samples FILE.md`.
"""


def write_samples(
    path: Path, plan: Plan, sets: Mapping[str, Sequence[EvalPrompt]], answers: Mapping[str, ByWay]
) -> None:
    """Write the plan's number of samples as Markdown; raises UserError where there is no twin to compare with."""
    if plan.twin is None:
        raise UserError("--samples puts the answers of the model and of its twin side by side; the plan has no twin")
    with atomic_write(path) as file:
        file.write(samples(plan, list(islice(_answered(sets, answers), plan.samples))))


def _answered(
    sets: Mapping[str, Sequence[EvalPrompt]], answers: Mapping[str, ByWay]
) -> Iterator[tuple[EvalPrompt, Answered, Answered]]:
    for name, prompts in sets.items():
        forked, twin = answers[name]["forked"], answers[name]["twin"]
        yield from ((p, forked[p.id], twin[p.id]) for p in prompts if p.id in forked and p.id in twin)


def samples(plan: Plan, chosen: Sequence[tuple[EvalPrompt, Answered, Answered]]) -> str:
    """The Markdown: every prompt with its two answers, forked and twin's, in an order drawn by the plan's seed."""
    rng = random.Random(f"{plan.seed} sides")
    parts = [_INTRODUCTION.format(count=len(chosen), max_tokens=plan.max_tokens)]
    key = []
    for number, (prompt, *pair) in enumerate(chosen, 1):
        sides = rng.sample(pair, 2)
        parts.append(f"## {number}\n\n{_quoted(prompt.text)}\n")
        parts += [f"**{name}**\n\n{_shown(answer)}\n" for name, answer in zip(_NAMES, sides, strict=True)]
        key.append(f"{number} {_NAMES[sides.index(pair[0])]}")
    parts.append(f"## Key\n\nThe forked answers: {', '.join(key)}.\n")
    return "\n".join(parts)


def _shown(answer: Answered) -> str:
    return _quoted(answer.text.strip() or "(no text)") + ("" if answer.ended else "\n\n(cut)")


def _quoted(text: str) -> str:
    """A block quotation: no fence or list in it goes on behind it. What would be HTML is shown as text."""
    lines, fenced = [], False
    for line in text.splitlines():
        fence = line.lstrip().startswith("```")
        lines.append("> " + (line if fenced or fence else line.replace("<", "&lt;")))
        fenced ^= fence
    return "\n".join(line.rstrip() for line in lines)
