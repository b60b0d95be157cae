"""Sections as parts: a heading, or a title line, is the lead, and all that stands under it the detail."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial

from apar.structure.cjk import width
from apar.structure.config import StructureConfig
from apar.structure.markdown import Block
from apar.structure.parts import Group, Part, distinct, part
from apar.structure.phrases import CLOSING

_BOLD_LINE = re.compile(r"(\*\*|__)(?:(?!\1)[^\n])+\1[ \t]*[:：]?")
_COLON_LINE = re.compile(r"[^\n]*[:：](?:\*\*|__|\*)?")
_LONGEST_TITLE = 100

Split = tuple[Sequence[Block], list[tuple[Block, Sequence[Block]]]]
"""The blocks before the first section, and each section's title with the blocks under it."""


def by_headings(blocks: Sequence[Block]) -> Split:
    """The sections under the headings of the highest rank that the blocks have."""
    rank = min((one.number for one in blocks if one.kind == "heading"), default=0)
    return _split(blocks, lambda one: one.kind == "heading" and one.number == rank)


def by_titles(text: str, blocks: Sequence[Block]) -> Split:
    """The sections under lines in bold or, where there are none, under lines that end in a colon."""
    for pattern in (_BOLD_LINE, _COLON_LINE):
        split = _split(blocks, partial(_is_title, text, pattern))
        if len(split[1]) >= 2 and sum(bool(body) for _, body in split[1]) >= 2:
            return split
    return blocks, []


def section_group(text: str, split: Split, config: StructureConfig) -> tuple[Group, Sequence[Block]]:
    """The sections as parts, and the blocks after them that belong to none."""
    sections = split[1]
    title, body = sections[-1]
    own, closing = _closing(text, [body for _, body in sections[:-1]], body)
    parts = [_part(text, *one, config) for one in (*sections[:-1], (title, own))]
    return Group("sections", distinct(text, parts, config)), closing


def _split(blocks: Sequence[Block], is_title: Callable[[Block], bool]) -> Split:
    at = [index for index, one in enumerate(blocks) if is_title(one)]
    if not at:
        return blocks, []
    ends = [*at[1:], len(blocks)]
    return blocks[: at[0]], [(blocks[k], blocks[k + 1 : end]) for k, end in zip(at, ends, strict=True)]


def _is_title(text: str, pattern: re.Pattern[str], one: Block) -> bool:
    if one.kind != "paragraph" or one.end - one.start > _LONGEST_TITLE:
        return False
    line = text[one.start : one.end]
    return width(line) <= _LONGEST_TITLE and pattern.fullmatch(line) is not None


def _part(text: str, title: Block, body: Sequence[Block], config: StructureConfig) -> Part:
    body = _without_rules(body)
    if not body:
        return Part(title.start, None, title.end)
    return part(text, title.start, title.end - title.start, (title, *body), config)


def _without_rules(body: Sequence[Block]) -> Sequence[Block]:
    """The body without the line that parts it from the next section."""
    while body and body[-1].kind == "rule":
        body = body[:-1]
    return body


def _closing(
    text: str, others: Sequence[Sequence[Block]], body: Sequence[Block]
) -> tuple[Sequence[Block], Sequence[Block]]:
    """Cut the last section's body where the answer's closing remarks begin."""
    for k in range(1, len(body)):
        rest = body[k:]
        if all(one.kind in ("paragraph", "rule") for one in rest) and (
            (rest[0].kind == "rule" and len(rest) > 1)
            or CLOSING.match(text, rest[0].start)
            or _is_new(others, body[k - 1], rest)
        ):
            return body[:k], rest
    return body, ()


def _is_new(others: Sequence[Sequence[Block]], before: Block, rest: Sequence[Block]) -> bool:
    """Whether paragraphs after a list or code come in no other section."""
    if before.kind == "paragraph" or rest[0].kind != "paragraph":
        return False
    return not any(_without_rules(body) and _without_rules(body)[-1].kind == "paragraph" for body in others)
