"""Paragraphs as parts: each opens with a label, a title line or a topic sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from apar.structure.cjk import is_cjk
from apar.structure.config import StructureConfig
from apar.structure.leads import bold_label_end, is_title, label_end, paragraph_lead
from apar.structure.markdown import Block, block
from apar.structure.parts import Group, Part, distinct, part
from apar.structure.phrases import CLOSING, PLEASANTRY

_LINE = re.compile(r"[^\r\n]*\S")
_CLOSING_MARKS = "*_\"'”’)」』）"
_SENTENCE_ENDS = (".", "!", "?", ":", "。", "！", "？", "：")
# Lines of at least so many characters on average are paragraphs; shorter ones are wrapped text.
_LONG_LINE = 90


@dataclass(frozen=True, slots=True)
class _Unit:
    """A paragraph and what belongs to it: lists, code, tables; `label` is how long its label is."""

    blocks: tuple[Block, ...]
    label: int | None

    @property
    def start(self) -> int:
        return self.blocks[0].start


def prose_group(text: str, blocks: Sequence[Block], config: StructureConfig) -> Group | None:
    """The paragraphs of a region as parts; None where there are too few to look at."""
    units = _units(text, blocks, config)
    labelled = [unit for unit in units if unit.label is not None]
    distinct_labels = {text[unit.start : unit.start + (unit.label or 0)] for unit in labelled}
    if "labels" in config.rules and len(distinct_labels) >= config.min_parts and 2 * len(labelled) >= len(units) - 2:
        return _labels(text, units, config)
    if "paragraphs" in config.rules and len(units) >= config.min_paragraphs:
        parts = [_paragraph(text, unit, config) for unit in units]
        if config.whole_opening and units[0].start == _first_text(text):
            # The first paragraph of an answer opens it: what comes after may build on all of it.
            parts[0] = replace(parts[0], at=None)
        return Group("paragraphs", distinct(text, parts, config))
    return None


def _first_text(text: str) -> int:
    return len(text) - len(text.lstrip())


def _units(text: str, blocks: Sequence[Block], config: StructureConfig) -> list[_Unit]:
    units: list[_Unit] = []
    for one in blocks:
        if one.kind == "paragraph":
            units += (_Unit((span,), _label(text, span, config)) for span in _spans(text, one, config))
        elif units and one.kind not in ("rule", "heading"):
            units[-1] = _Unit((*units[-1].blocks, one), units[-1].label)
    return units


def _label(text: str, span: Block, config: StructureConfig) -> int | None:
    body = text[span.start : span.end]
    return bold_label_end(body, config) or label_end(body)


def _labels(text: str, units: Sequence[_Unit], config: StructureConfig) -> Group:
    """Labelled paragraphs; those without a label that follow one belong to it, but for closing remarks."""
    first = next(k for k, unit in enumerate(units) if unit.label is not None)
    found = [[units[first]]]
    for unit in units[first + 1 :]:
        if unit.label is None:
            found[-1].append(unit)
        else:
            found.append([unit])
    if not any(len(one) > 1 for one in found[:-1]) or CLOSING.match(text, found[-1][-1].start):
        found[-1] = found[-1][:1]
    merged = (_Unit(tuple(block for unit in one for block in unit.blocks), one[0].label) for one in found)
    return Group("labels", distinct(text, [part(text, u.start, u.label, u.blocks, config) for u in merged], config))


def _paragraph(text: str, unit: _Unit, config: StructureConfig) -> Part:
    first = unit.blocks[0]
    body = text[first.start : first.end]
    if PLEASANTRY.match(body) or CLOSING.match(body):
        return Part(first.start, None, unit.blocks[-1].end, unit.blocks)
    if body.endswith((":", "：")):
        # What introduces the next block is a lead only if that block is its own.
        lead = len(body) if len(unit.blocks) > 1 and len(body) <= config.max_lead_chars else None
    else:
        lead = paragraph_lead(body, labelled=False, config=config)
    return part(text, first.start, lead, unit.blocks, config)


def _spans(text: str, paragraph: Block, config: StructureConfig) -> Iterator[Block]:
    """The paragraphs of a block: many models put a single line break between paragraphs."""
    lines = [match.span() for match in _LINE.finditer(text, paragraph.start, paragraph.end)]
    texts = [text[first:last] for first, last in lines]
    if len(lines) > 1 and sum(_label(text, block(text, "paragraph", *line), config) is not None for line in lines) > 1:
        starts = [first for first, last in lines if _label(text, block(text, "paragraph", first, last), config)]
        starts[0:0] = [lines[0][0]] if starts[0] != lines[0][0] else []
        ends = [*starts[1:], paragraph.end]
        yield from (block(text, "paragraph", start, end) for start, end in zip(starts, ends, strict=True))
    elif not _are_paragraphs(texts):
        yield paragraph
    else:
        yield from _titled(text, lines, paragraph)


def _titled(text: str, lines: Sequence[tuple[int, int]], paragraph: Block) -> Iterator[Block]:
    title: int | None = None
    for first, last in lines:
        if title is None and is_title(text[first:last]) and last != paragraph.end:
            title = first
            continue
        yield block(text, "paragraph", first if title is None else title, last)
        title = None


def _are_paragraphs(lines: list[str]) -> bool:
    """Whether all lines are long and end a sentence, or are titles; the last may be cut off."""
    body = [line for line in lines if not is_title(line)]
    least = _LONG_LINE // 3 if is_cjk("".join(lines)) else _LONG_LINE
    long = len(body) > 1 and sum(map(len, body)) >= least * len(body)
    return long and all(line.rstrip(_CLOSING_MARKS).endswith(_SENTENCE_ENDS) for line in body[:-1])
