"""How fast prompts are answered, how long the answers are, and which of them fork and end."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from apar.eval.answered import Answered
from apar.eval.kinds import KINDS
from apar.eval.paired import ratios
from apar.eval.prompts import EvalPrompt
from apar.eval.ways import Way, pairs, parallel, subject, with_own_text

ByWay = Mapping[Way, Mapping[str, Answered]]
"""Answers by the way and the prompt's id."""


def speed_figures(prompts: Sequence[EvalPrompt], answers: ByWay) -> dict[str, Any]:
    """The figures over all prompts that were answered, over those that the taught model or the rules fork on, of a
    kind, and of a category.
    """
    found = answers[subject(answers)]
    answered = [prompt for prompt in prompts if prompt.id in found]
    categories = sorted({prompt.category for prompt in answered if prompt.category is not None})
    return {
        "all": _figures(answered, answers),
        "forking": {way: _figures(_that_fork(answered, answers[way]), answers) for way in pairs(answers)},
        "kinds": {kind: _figures([p for p in answered if p.kind == kind], answers) for kind in KINDS},
        "categories": {name: _figures([p for p in answered if p.category == name], answers) for name in categories},
    }


def _that_fork(prompts: Sequence[EvalPrompt], answers: Mapping[str, Answered]) -> list[EvalPrompt]:
    return [prompt for prompt in prompts if prompt.id in answers and answers[prompt.id].forks]


def _figures(prompts: Sequence[EvalPrompt], answers: ByWay) -> dict[str, Any] | None:
    """None without prompts; docs/evaluation.md defines each figure."""
    if not prompts:
        return None
    by_way = {way: [found[p.id] for p in prompts if p.id in found] for way, found in answers.items()}
    several = {way: by_way[way] for way in parallel(by_way) if by_way[way]}
    return {
        "prompts": len(prompts),
        "forking": {way: _mean(each, lambda answer: answer.threads > 1) for way, each in several.items()},
        "tokens_per_step": {way: _tokens_per_step(each) for way, each in several.items()},
        "threads": {way: _mean(each, lambda answer: answer.threads) for way, each in several.items()},
        "tokens": {way: _lengths(by_way[way]) for way in with_own_text(by_way) if by_way[way]},
        "ended": {way: _mean(each, lambda answer: answer.ended) for way, each in by_way.items() if each},
        "timed": _timed(prompts, answers),
    }


def _timed(prompts: Sequence[EvalPrompt], answers: ByWay) -> dict[str, Any] | None:
    """Seconds and cache of the prompts that were answered one after the other in every way; None without any."""
    rows = [[found.get(prompt.id) for found in answers.values()] for prompt in prompts]
    whole = [[answer for answer in row if answer is not None and answer.timed] for row in rows]
    timed = [row for row in whole if len(row) == len(answers)]
    if not timed:
        return None
    columns = dict(zip(answers, zip(*timed, strict=True), strict=True))
    return {
        "prompts": len(timed),
        "seconds": {way: _mean(each, lambda answer: answer.seconds) for way, each in columns.items()},
        "tokens_per_second": {way: _rate(each) for way, each in columns.items()},
        "kv_blocks_peak": {way: _mean(each, lambda answer: answer.kv_blocks_peak) for way, each in columns.items()},
        "seconds_over": {way: _seconds_over(columns, way) for way in parallel(columns)},
        "same_text": _same_text(columns.get("forked", ()), columns.get("one_thread", ())),
    }


def _seconds_over(columns: Mapping[Way, Sequence[Answered]], below: Way) -> dict[Way, Any]:
    """The seconds of every other way over those of one, prompt by prompt."""
    seconds = {way: [answer.seconds for answer in each] for way, each in columns.items()}
    return {way: ratios(each, seconds[below]) for way, each in seconds.items() if way != below}


def _tokens_per_step(answers: Sequence[Answered]) -> float:
    return sum(answer.tokens for answer in answers) / sum(answer.steps for answer in answers)


def _same_text(forked: Sequence[Answered], one_thread: Sequence[Answered]) -> float | None:
    """The share of answers that are the same, one thread at a time; below 1 where numbers are rounded otherwise."""
    if not one_thread:
        return None
    return statistics.fmean(a.text == b.text for a, b in zip(forked, one_thread, strict=True))


def _lengths(answers: Sequence[Answered]) -> dict[str, float]:
    tokens = [answer.tokens for answer in answers]
    return {"mean": statistics.fmean(tokens), "median": statistics.median(tokens)}


def _rate(answers: Sequence[Answered]) -> float:
    """Visible tokens a second, both summed."""
    return sum(answer.tokens for answer in answers) / sum(answer.seconds for answer in answers)


def _mean(answers: Iterable[Answered], value: Callable[[Answered], float]) -> float:
    return statistics.fmean(map(value, answers))
