"""What siblings repeat of one another: word n-grams of details, and leads.

Two views of an answer. *As forked*: siblings are the details that one thread forked. *As read*: siblings are the
items of one list in the text, found by the same reader in the answers of every model, whether they forked or not.
"""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from apar.eval.answered import Answered
from apar.eval.paired import difference
from apar.eval.prompts import EvalPrompt
from apar.eval.speed import ByWay
from apar.eval.ways import pairs, parallel, with_own_text
from apar.structure.config import StructureConfig
from apar.structure.markdown import Block, parse
from apar.structure.outline import outline
from apar.structure.parts import inside
from apar.tree import ParagraphTree

WORDS = 4
"""Words of an n-gram."""

_LISTS = StructureConfig(rules=frozenset(("ordered_list", "bullet_list", "labels")), refused=frozenset())
_DEEPEST = 8
_PAIRED = ("ngrams", "leads", "without_detail")
_WORD = re.compile(r"\w+")
_MARKER = re.compile(r"^[\s>*_#\-–•]*(?:\(?\d{1,3}[.)]|\(?[A-Za-z][.)](?=\s)|[-*+•])?[\s*_]*")
_LEAD_END = re.compile(r"[:：]|\s[-–—]\s|\n|[.!?](?=[\s*_]|$)")

Siblings = Sequence[tuple[str, str]]
"""The lead and the detail of each of some parts that stand side by side; a detail may be empty."""


@dataclass(frozen=True, slots=True)
class Repetition:
    """Shares of one answer, None where there is nothing to share: `ngrams` of those of all details, how many stand
    in another sibling, too; `leads` of all but the first sibling, how many an earlier one has said word for word;
    `without_detail` of all parts, how many are a lead and nothing else. `parts` counts the siblings.
    """

    ngrams: float | None
    leads: float | None
    without_detail: float | None
    parts: int


def as_forked(answer: Answered) -> Repetition:
    """Of the answer's own tree; a thread without text is told by `Answered.empty_details` instead."""
    return _repetition(_forked_siblings(answer.tree))


def as_read(text: str) -> Repetition:
    """Of the lists in a text, those within items included."""
    return _repetition(_read_siblings(text, parse(text), 0))


def repetition_figures(prompts: Sequence[EvalPrompt], answers: ByWay) -> dict[str, Any]:
    """As forked and as read of every way, and as read paired; docs/evaluation.md defines each figure."""
    read = {
        way: {prompt.id: as_read(answers[way][prompt.id].text) for prompt in prompts if prompt.id in answers[way]}
        for way in with_own_text(answers)
    }
    return {
        "as_forked": {way: _as_forked(answers[way].values()) for way in parallel(answers)},
        "as_read": {way: _means(each.values()) for way, each in read.items()},
        "paired": {
            first: {other: {name: _paired(read[first], read[other], name) for name in _PAIRED} for other in others}
            for first, others in pairs(answers).items()
        },
    }


def _as_forked(answers: Collection[Answered]) -> dict[str, Any]:
    return {**_means([as_forked(answer) for answer in answers if answer.forks]), **_empty(answers)}


def _empty(answers: Collection[Answered]) -> dict[str, int]:
    return {
        "details": sum(answer.threads - 1 for answer in answers),
        "empty_details": sum(answer.empty_details for answer in answers),
        "unopened_details": sum(answer.unopened_details for answer in answers),
    }


def _means(each: Iterable[Repetition]) -> dict[str, Any]:
    found = [one for one in each if one.parts]
    return {
        "answers": len(found),
        "parts": statistics.fmean(one.parts for one in found) if found else None,
        **{name: _mean(getattr(one, name) for one in found) for name in ("ngrams", "leads", "without_detail")},
    }


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _paired(first: dict[str, Repetition], second: dict[str, Repetition], name: str) -> dict[str, Any] | None:
    pairs = [(getattr(one, name), getattr(second[key], name)) for key, one in first.items() if key in second]
    known = [(a, b) for a, b in pairs if a is not None and b is not None]
    return difference([a for a, _ in known], [b for _, b in known])


def _repetition(groups: Iterable[Siblings]) -> Repetition:
    several = [group for group in groups if len(group) > 1]
    ngrams, leads, details = Counter[bool](), Counter[bool](), Counter[bool]()
    for group in several:
        ngrams.update(_repeated_ngrams([_words(detail) for _, detail in group]))
        leads.update(_repeated_leads([tuple(_words(lead)) for lead, _ in group]))
        details.update(not _words(detail) for _, detail in group)
    return Repetition(_share(ngrams), _share(leads), _share(details), details.total())


def _share(counts: Counter[bool]) -> float | None:
    return counts[True] / counts.total() if counts.total() else None


def _repeated_ngrams(details: Sequence[Sequence[str]]) -> Iterator[bool]:
    """For each n-gram of each detail whether another detail has it."""
    each = [list(zip(*(words[k:] for k in range(WORDS)), strict=False)) for words in details]
    holders = Counter(ngram for ngrams in each for ngram in set(ngrams))
    return (holders[ngram] > 1 for ngrams in each for ngram in ngrams)


def _repeated_leads(leads: Sequence[tuple[str, ...]]) -> Iterator[bool]:
    """For each lead but the first whether an earlier one is the same; leads without words are left out."""
    worded = [lead for lead in leads if lead]
    return (lead in worded[:number] for number, lead in enumerate(worded) if number)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _forked_siblings(tree: ParagraphTree) -> Iterator[Siblings]:
    """For each thread its nodes that fork, each with all the text of its detail."""
    for thread in tree.threads():
        yield [
            (_last_line(node.text), ParagraphTree(node.detail).text) for node in thread.nodes if node.detail is not None
        ]


def _last_line(text: str) -> str:
    """What is left of a node's text without what introduces the list, its marker and its mark-up."""
    lines = text.strip().splitlines()
    return _MARKER.sub("", lines[-1], count=1) if lines else ""


def _read_siblings(text: str, blocks: Sequence[Block], depth: int) -> Iterator[Siblings]:
    if depth > _DEEPEST:
        return
    for group in outline(text, blocks, _LISTS):
        yield [_lead_and_detail(text[part.start : part.end]) for part in group.parts]
        for part in group.parts:
            yield from _read_siblings(text, list(inside(text, part)), depth + 1)


def _lead_and_detail(item: str) -> tuple[str, str]:
    """An item cut after its first phrase: at a colon, a spaced dash, the end of its line or its sentence."""
    body = _MARKER.sub("", item, count=1)
    found = _LEAD_END.search(body)
    return (body, "") if found is None else (body[: found.start()], body[found.end() :])
