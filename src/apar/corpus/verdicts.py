"""What the whole data set says of each answer: a duplicate, not chosen for its prompt, over a cap, out of the mix."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import compress
from typing import Literal, get_args

from apar.corpus.choice import ChoiceDrop, Numbered, left_out
from apar.corpus.config import ExtractConfig
from apar.corpus.duplicates import DropAsSeen, Seen
from apar.corpus.split import is_kept, lot, shares
from apar.corpus.worker import Kept

Verdict = DropAsSeen | ChoiceDrop | Literal["per_source", "mix"]
Answers = Callable[[], Iterable[Kept]]
"""The answers that the filters kept, in order, from the start at each call."""

_VERDICTS: tuple[Verdict | None, ...] = (
    None,
    *get_args(DropAsSeen),
    *get_args(ChoiceDrop),
    "per_source",
    "mix",
)


class Verdicts:
    """Why each answer is left out, or None where it is kept; a byte an answer."""

    def __init__(self) -> None:
        self._codes = bytearray()

    def __iter__(self) -> Iterator[Verdict | None]:
        return (_VERDICTS[code] for code in self._codes)

    def append(self, verdict: Verdict | None) -> None:
        self._codes.append(_VERDICTS.index(verdict))

    def leave_out(self, number: int, verdict: Verdict) -> None:
        """Leave out an answer that was kept so far."""
        self._codes[number] = _VERDICTS.index(verdict)

    def kept(self, answers: Iterable[Kept]) -> Iterable[tuple[int, Kept]]:
        """Those of all answers that are kept so far, with their numbers."""
        return compress(enumerate(answers), (not code for code in bytes(self._codes)))


def verdicts(answers: Answers, config: ExtractConfig) -> Verdicts:
    """The verdict on each answer, in order. A choice by structure takes some 300 bytes of memory an answer."""
    found = Verdicts()
    by_structure = config.choice.prefer == "structure"
    most = config.duplicates.answers_per_prompt
    # The choice counts answers itself, once it knows them all.
    seen = Seen(
        config.duplicates.model_copy(update={"answers_per_prompt": None}) if by_structure else config.duplicates
    )
    for row in answers():
        found.append(seen.drop_reason(row.signature))
    if by_structure:
        _choose(answers, found, most, config)
    if config.split.unstructured_per_source:
        _cap_sources(answers, found, config)
    if config.split.structured is not None or config.split.at_most:
        _mix(answers, found, config)
    return found


def _choose(answers: Answers, found: Verdicts, most: int | None, config: ExtractConfig) -> None:
    prompts: defaultdict[int, list[Numbered]] = defaultdict(list)
    for number, row in found.kept(answers()):
        prompts[row.signature.prompt].append((number, row.rating))
    for of_prompt in prompts.values():
        for number, drop in left_out(of_prompt, most, config.choice):
            found.leave_out(number, drop)


def _cap_sources(answers: Answers, found: Verdicts, config: ExtractConfig) -> None:
    caps = config.split.unstructured_per_source
    lots: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for number, row in found.kept(answers()):
        if row.summary.source in caps and row.summary.reason is not None and not row.held_out:
            lots[row.summary.source].append((lot("source", row.id, config.split), number))
    for source, drawn in lots.items():
        for _, number in sorted(drawn)[caps[source] :]:
            found.leave_out(number, "per_source")


def _mix(answers: Answers, found: Verdicts, config: ExtractConfig) -> None:
    # What is held out is no part of the mix: it is to be as the data are.
    counts = Counter(row.summary.kind for _, row in found.kept(answers()) if not row.held_out)
    keep = shares(counts, config.split)
    for number, row in found.kept(answers()):
        if not row.held_out and not is_kept(row.id, keep[row.summary.kind], config.split):
            found.leave_out(number, "mix")
