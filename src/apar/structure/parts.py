"""Parts and groups of parts: what the readers of lists, sections and paragraphs find."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from apar.structure.cjk import width
from apar.structure.config import StructureConfig
from apar.structure.labels import Rule
from apar.structure.leads import sentence_lead
from apar.structure.markdown import Block, block


@dataclass(frozen=True, slots=True)
class Part:
    """A part as offsets in the answer: its lead is `[start, at)`, without a marker, its detail `[at, end)`.

    `at` is None for a part without a lead, or with too little to say after it. `blocks` are all its blocks.
    """

    start: int
    at: int | None
    end: int
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """Parts that stand side by side, in order: the items of one list, the sections of one rank."""

    rule: Rule
    parts: tuple[Part, ...]

    @property
    def start(self) -> int:
        return self.parts[0].start

    @property
    def end(self) -> int:
        return self.parts[-1].end

    @property
    def forking(self) -> list[Part]:
        """The parts that have a lead and a detail."""
        return [part for part in self.parts if part.at is not None]


def part(text: str, start: int, lead: int | None, blocks: tuple[Block, ...], config: StructureConfig) -> Part:
    """The part whose text are `blocks`; its lead has `lead` characters from `start`."""
    end = blocks[-1].end
    at = None if lead is None else start + lead
    if at is not None and width(text[at:end].strip()) < config.min_detail_chars:
        at = None
    return Part(start, at, end, blocks)


def inside(text: str, one: Part) -> Iterator[Block]:
    """The blocks of a part after its lead, in which there may be parts again."""
    at = one.start if one.at is None else one.at
    for child in one.blocks:
        if child.start >= at:
            yield child
        elif child.end > at:
            rest = block(text, child.kind, at, child.end)
            if rest.end > rest.start:
                yield rest


def distinct(text: str, parts: Sequence[Part], config: StructureConfig) -> tuple[Part, ...]:
    """The same parts; where leads are the same ("Premise:", "Question:") and tell nothing, sentences lead."""
    times = Counter(text[one.start : one.at] for one in parts if one.at is not None)
    return tuple(
        one if one.at is None or times[text[one.start : one.at]] == 1 else _by_sentence(text, one, config)
        for one in parts
    )


def _by_sentence(text: str, one: Part, config: StructureConfig) -> Part:
    first = one.blocks[0]
    if first.kind != "paragraph":
        return replace(one, at=None)
    lead = sentence_lead(text[one.start : first.end], one.end - first.end, config)
    return part(text, one.start, lead, one.blocks, config)
