"""Parts and groups of parts: what the readers of lists, sections and paragraphs find."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from apar.structure.config import StructureConfig
from apar.structure.criteria import Rule
from apar.structure.markdown import Block, block
from apar.structure.script import width


@dataclass(frozen=True, slots=True)
class Part:
    """A part as offsets in the answer: its lead is `[start, at)`, without a marker, its detail `[at, end)`.

    `at` is None for a part without a lead, or with too little to say after it. `inside` are the blocks after
    the lead, in which there may be parts again.
    """

    start: int
    at: int | None
    end: int
    inside: tuple[Block, ...] = ()


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
    if at is None or width(text[at:end].strip()) < config.min_detail_chars:
        return Part(start, None, end, blocks)
    return Part(start, at, end, tuple(_after(text, blocks, at)))


def _after(text: str, blocks: Iterable[Block], at: int) -> Iterable[Block]:
    for one in blocks:
        if one.start >= at:
            yield one
        elif one.end > at:
            rest = block(text, one.kind, at, one.end)
            if rest.end > rest.start:
                yield rest


def distinct(text: str, parts: Iterable[Part]) -> tuple[Part, ...]:
    """The same parts; those of the same lead ("Premise:", "Question:") no longer fork, as it tells nothing."""
    parts = tuple(parts)
    times = Counter(text[one.start : one.at] for one in parts if one.at is not None)
    return tuple(
        one if one.at is None or times[text[one.start : one.at]] == 1 else replace(one, at=None) for one in parts
    )
