"""Answers to the same prompts beside each other, so that a reader cannot see which is which."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from apar.data.files import atomic_write
from apar.errors import UserError
from apar.eval.answered import Answered
from apar.eval.plan import Plan
from apar.eval.prompts import EvalPrompt
from apar.eval.speed import ByWay
from apar.eval.ways import Way

_NAMES = "ABCD"
_TOLD: Mapping[Way, str] = {
    "forked": "by the model that was taught to fork",
    "rules": "by a model that was not taught, forked by the form of its text",
    "skeleton": "by Skeleton-of-Thought",
    "twin": "by the sequential twin, trained on the same data",
    "base": "by the model before any training, sequentially",
}
_INTRODUCTION = """\
# Answers side by side

The first {count} of the prompts that the evaluation's seed drew, none left out, each answered {how} {ways}. Which of
them is A is drawn for each prompt anew; the key is at the end. Answers that were cut at {max_tokens}
tokens say so. Made by `apar evaluate PLAN.yaml --samples FILE.md`.
"""


def write_samples(
    path: Path, plan: Plan, sets: Mapping[str, Sequence[EvalPrompt]], answers: Mapping[str, ByWay]
) -> None:
    """Write the plan's number of samples as Markdown; raises UserError where there is nothing to compare with."""
    check_samples(plan)
    with atomic_write(path) as file:
        file.write(samples(plan, list(islice(_answered(sets, answers), plan.samples))))


def _answered(
    sets: Mapping[str, Sequence[EvalPrompt]], answers: Mapping[str, ByWay]
) -> Iterator[tuple[EvalPrompt, list[Answered]]]:
    for name, prompts in sets.items():
        found = [answers[name][way] for way in shown_ways(answers[name])]
        yield from ((p, [each[p.id] for each in found]) for p in prompts if all(p.id in each for each in found))


def shown_ways(ways: Iterable[Way]) -> list[Way]:
    """What forks, its sequential counterpart (the twin, else the base), and Skeleton-of-Thought, where they are."""
    found = set(ways)
    control: Way = "twin" if "twin" in found else "base"
    return [way for way in ("forked", "rules", control, "skeleton") if way in found]


def check_samples(plan: Plan) -> None:
    """Raise UserError where a plan has no answers to put beside each other."""
    if len(shown_ways(plan.ways)) < 2:
        raise UserError(
            "--samples puts answers side by side; the plan has no twin and no base, nor another way, to compare with"
        )


def _asked(prompt: EvalPrompt) -> str:
    """The question, after what was said before it."""
    before = [f"{turn['role'].capitalize()}:\n\n{_quoted(turn['content'])}\n\n" for turn in prompt.before]
    return "".join(before) + ("User:\n\n" if before else "") + _quoted(prompt.text)


def samples(plan: Plan, chosen: Sequence[tuple[EvalPrompt, Sequence[Answered]]]) -> str:
    """The Markdown: every prompt with its answers, in an order drawn by the plan's seed."""
    rng = random.Random(f"{plan.seed} sides")
    ways = [answer.way for answer in chosen[0][1]] if chosen else []
    parts = [_introduction(plan, len(chosen), ways)]
    keys: dict[Way, list[str]] = {way: [] for way in ways}
    for number, (prompt, answers) in enumerate(chosen, 1):
        sides = rng.sample(list(answers), len(answers))
        parts.append(f"## {number}\n\n{_asked(prompt)}\n")
        for name, answer in zip(_NAMES, sides, strict=False):
            parts.append(f"**{name}**\n\n{_shown(answer)}\n")
            keys[answer.way].append(f"{number} {name}")
    told = "\n\n".join(
        f"{_capital(_TOLD[way])}: {', '.join(key)}." for way, key in list(keys.items())[: max(len(keys) - 1, 1)]
    )
    parts.append(f"## Key\n\n{told}\n")
    return "\n".join(parts)


def _introduction(plan: Plan, count: int, ways: Sequence[Way]) -> str:
    how = "greedily" if plan.temperature == 0 else f"at temperature {plan.temperature:g}"
    told = [_TOLD[way] for way in ways]
    both = ", ".join(told[:-1]) + f" and {told[-1]}" if len(told) > 1 else "".join(told)
    return _INTRODUCTION.format(count=count, max_tokens=plan.max_tokens, how=how, ways=both)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


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
