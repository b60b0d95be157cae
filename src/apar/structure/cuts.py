"""Shorter leads and openings that fork: where a fork is put once it is known what forks.

What forks is decided by whole leads; here forks only move towards the front of their nodes, or come to the paragraphs
before them. The rest of a lead opens its detail, so that nothing is lost.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise, takewhile
from typing import NamedTuple

from apar.structure.cjk import width
from apar.structure.leads import is_title
from apar.structure.parts import Part
from apar.structure.words import lead_words, said
from apar.tree import Fork


class Lead(NamedTuple):
    """A lead that forks, by offsets: it is `[start, at)` without a marker, its detail goes up to `end`.

    `whole` is where the lead ended before it was cut, `depth` how many details its own is deep.
    """

    start: int
    at: int
    end: int
    whole: int
    depth: int

    @property
    def fork(self) -> Fork:
        return Fork(self.at, self.end)

    @property
    def whole_fork(self) -> Fork:
        return Fork(self.whole, self.end)


def leads_of(text: str, parts: Sequence[Part], words: int | None, depth: int) -> list[Lead | None]:
    """The leads of the parts of one group, None for a part without one, each cut after its first `words` words.

    Where that would make leads of the group the same that are not, they keep as many words more as tell them apart.
    """
    whole = [one.start if one.at is None else one.at for one in parts]
    ends = (
        whole if words is None else _cut(text, [(one.start, at) for one, at in zip(parts, whole, strict=True)], words)
    )
    return [
        None if one.at is None else Lead(one.start, end, one.end, one.at, depth)
        for one, end in zip(parts, ends, strict=True)
    ]


def _cut(text: str, leads: Sequence[tuple[int, int]], words: int) -> list[int]:
    """Where each lead `[start, at)` ends when it is cut."""
    told_apart = _told_apart([said(text[start:at]) for start, at in leads])
    return [_after_words(text, *lead, max(words, least)) for lead, least in zip(leads, told_apart, strict=True)]


def _told_apart(leads: Sequence[tuple[str, ...]]) -> list[int]:
    """How many words of each lead tell it from all others."""
    order = sorted(range(len(leads)), key=leads.__getitem__)
    least = [1] * len(leads)
    # What a lead has in common with any other, it has with the one before or after it in the order of the alphabet.
    for one, other in pairwise(order):
        common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(leads[one], leads[other], strict=False)))
        least[one] = max(least[one], common + 1)
        least[other] = max(least[other], common + 1)
    return least


def _after_words(text: str, start: int, at: int, words: int) -> int:
    spans = lead_words(text[start:at])
    return at if len(spans) <= words else start + spans[words - 1][1]


def apart_from(others: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans `[start, end)` that overlap with none of the others, in order and each once."""
    starts = sorted(start for start, _ in others)
    ends = list(accumulate((end for _, end in sorted(others)), max))
    before = ((bisect_left(starts, end), start, end) for start, end in sorted(set(spans)))
    return [(start, end) for k, start, end in before if not k or ends[k - 1] <= start]


def with_openings(
    text: str,
    leads: Sequence[Lead],
    paragraphs: Sequence[tuple[int, int]],
    words: int,
    min_detail_chars: int,
    room: int,
) -> list[Fork]:
    """The forks of the leads in reading order, and before them those of up to `room` of the plain `paragraphs`, which
    are in order.

    A paragraph `[start, end)` forks after its first words if it lies before a lead, in the text of the same node, and
    leaves a detail of at least `min_detail_chars`.
    """
    forks: list[Fork] = []
    for first, last, lead in _nodes(len(text), leads):
        for start, end in paragraphs[bisect_left(paragraphs, (first, 0)) : bisect_left(paragraphs, (last, 0))]:
            at = _opening(text, start, end, words, min_detail_chars) if room and end <= last else None
            if at is not None:
                forks.append(Fork(at, end))
                room -= 1
        forks.append(lead.fork)
    return forks


def _nodes(length: int, leads: Sequence[Lead]) -> Iterator[tuple[int, int, Lead]]:
    """Each lead with where the text of its node begins, and where that before the lead ends."""
    begins, limits = [0], [length]  # by level, where the next node begins, and where the level ends
    for lead in leads:
        while len(limits) > 1 and lead.start >= limits[-1]:
            begins.pop()
            limits.pop()
        yield begins[-1], lead.start, lead
        begins[-1] = lead.end
        begins.append(lead.at)
        limits.append(lead.end)


def _opening(text: str, start: int, end: int, words: int, min_detail_chars: int) -> int | None:
    """Where a plain paragraph forks; None for a title, which tells what stands under it, and for a short one."""
    paragraph = text[start:end]
    if is_title(paragraph) and not paragraph.rstrip("*_ ").endswith((":", "：")):
        return None
    at = _after_words(text, start, end, words)
    return at if width(text[at:end].strip()) >= min_detail_chars else None
