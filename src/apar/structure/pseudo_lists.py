"""Lists that Markdown does not know: lines that begin with "•", "1、", "（2）", "③", "一、", "b)".

A paragraph with such lines becomes a list block, so that all lists are read alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from apar.structure.content import is_program
from apar.structure.markdown import Block, BlockKind, block

_CHINESE = "一二三四五六七八九十"
MARKER = re.compile(
    r"^[ \t]*(?:"
    r"(?P<bullet>[•●◦▪‣·○■◆★✓✔➢►])[ \t]*(?=\S)"
    r"|(?P<digit>\d{1,2})(?:、|．|[.)](?=[^\s\d.,)]))[ \t]*(?=\S)"
    r"|[(（](?P<bracket>\d{1,2})[)）][ \t]*(?=\S)"
    r"|(?P<chinese>[一二三四五六七八九十]{1,3})[、.．][ \t]*(?=\S)"
    r"|[(（](?P<chinese_bracket>[一二三四五六七八九十]{1,3})[)）]、?[ \t]*(?=\S)"
    r"|(?P<circle>[①-⑳])[ \t]*(?=\S)"
    r"|\(?(?P<letter>[a-z])\)[ \t]+(?=\S)"
    r")",
    re.M,
)
"""The marker of an item, with the white space around it."""


@dataclass(frozen=True, slots=True)
class MarkedLine:
    """Where a line with a marker begins, where its content does, and the kind and number of the marker."""

    start: int
    content: int
    family: str
    number: int


def with_marked_lists(text: str, blocks: Sequence[Block]) -> list[Block]:
    """The blocks, with list blocks in the place of paragraphs whose lines have markers, and code unveiled."""
    return [new for one in blocks for new in (_split(text, one) if one.kind == "paragraph" else (one,))]


def _split(text: str, paragraph: Block) -> Iterator[Block]:
    if is_program(text[paragraph.start : paragraph.end]):
        yield block(text, "code", paragraph.start, paragraph.end)
        return
    lines = _marked(text, paragraph)
    if not lines:
        yield paragraph
        return
    if lines[0].start > paragraph.start:
        yield block(text, "paragraph", paragraph.start, lines[0].start)
    ends = [*(line.start for line in lines[1:]), paragraph.end]
    items = tuple(_item(text, line, end) for line, end in zip(lines, ends, strict=True))
    kind: BlockKind = "ordered" if lines[0].number else "bullet"
    yield block(text, kind, lines[0].start, paragraph.end, children=items, family=lines[0].family)


def _marked(text: str, paragraph: Block) -> list[MarkedLine]:
    """The lines with markers of the first line's kind; they must count up."""
    found = [marked_line(match) for match in MARKER.finditer(text, paragraph.start, paragraph.end)]
    # `^` holds where the search begins, even if that is within a line.
    lines = [line for line in found if line.family == found[0].family]
    if lines and lines[0].number:
        counting = [lines[0]]
        for line in lines[1:]:
            if line.number == counting[-1].number + 1:
                counting.append(line)
        lines = counting
    # One bullet alone, or letters that do not begin at "a", are no list.
    alone = len(lines) == 1 and lines[0].family in ("bullet", "letter")
    return [] if alone else lines


def marked_line(match: re.Match[str]) -> MarkedLine:
    """What a match of `MARKER` tells."""
    family = str(match.lastgroup)
    value = match[family]
    if family == "bullet":
        number = 0
    elif family.startswith("chinese"):
        number = _chinese_number(value)
    elif family == "circle":
        number = ord(value) - ord("①") + 1
    elif family == "letter":
        number = ord(value) - ord("a") + 1
    else:
        number = int(value)
    return MarkedLine(match.start(), match.end(), family, number)


def _chinese_number(value: str) -> int:
    tens, ten, ones = value.rpartition("十")
    digit = {character: k for k, character in enumerate(_CHINESE, 1)}
    return (digit.get(tens[:1], 1) * 10 if ten else 0) + digit.get(ones[:1], 0)


def _item(text: str, line: MarkedLine, end: int) -> Block:
    body = block(text, "paragraph", line.content, end)
    return block(
        text, "item", line.start, end, content=line.content, children=(body,), number=line.number, family=line.family
    )
