"""The blocks of a Markdown text, nested, with exact character offsets into it.

The parser is pulldown-cmark (CommonMark with tables) through `pyromark`: linear in time on any input, and its
events carry their places in the UTF-8 text, which here become offsets in the Python string.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Literal

import pyromark

BlockKind = Literal["paragraph", "heading", "ordered", "bullet", "item", "quote", "code", "table", "html", "rule"]
_KINDS: dict[str, BlockKind] = {
    "Paragraph": "paragraph",
    "Heading": "heading",
    "List": "bullet",
    "Item": "item",
    "BlockQuote": "quote",
    "CodeBlock": "code",
    "Table": "table",
    "HtmlBlock": "html",
}
_OPTIONS = pyromark.Options.ENABLE_TABLES
# Blocks nested deeper than this are not told apart.
_MAX_NESTING = 48
# Python strings may hold lone surrogates, which no UTF-8 library takes.
_SURROGATE = re.compile(r"[\ud800-\udfff]")
# A line break to CommonMark, but not everywhere to the parser.
_LONE_RETURN = re.compile(r"\r(?!\n)")
# 1 for the first byte of a character in UTF-8, 0 for the others.
_FIRST_BYTE = bytes(0 if 0x80 <= byte < 0xC0 else 1 for byte in range(256))
MARKER = re.compile(r"(?:(\d{1,9})([.)])|[-+*])(?:[ \t]+|$)", re.M)
"""The marker of a list item, with the white space behind it."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block: `[start, end)` without the white space around it.

    `children` are the items of a list, or the blocks of an item or a quotation. An item's own text begins at
    `content`, after its marker; in all other blocks that is `start`. `number` is a heading's level or an
    item's number. `family` tells kinds of numbered lists apart: "." or ")".
    """

    kind: BlockKind
    start: int
    end: int
    content: int
    children: tuple[Block, ...] = ()
    number: int = 0
    family: str = ""


def parse(text: str) -> tuple[Block, ...]:
    """The top-level blocks of any string. What belongs to no block (blank lines) lies between blocks."""
    return _Builder(text).blocks()


def _only(value: Any) -> tuple[Any, Any]:
    """A name and what belongs to it: the parser writes `name` or `{name: more}`."""
    return next(iter(value.items())) if isinstance(value, dict) else (value, None)


def block(text: str, kind: BlockKind, start: int, end: int, **more: Any) -> Block:
    """A block of `text`; the white space around it is left out."""
    body = text[start:end]
    last = start + len(body.rstrip())
    first = min(start + len(body) - len(body.lstrip()), last)
    return Block(kind, first, last, **{"content": first, **more})


@dataclass(slots=True)
class _Open:
    """A block whose end has not come; `loose` is the text in it that stands in no block of its own."""

    kind: BlockKind
    start: int
    end: int
    number: int
    children: list[Block]
    loose: tuple[int, int] | None = None


class _Builder:
    """Puts the parser's events together."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.source = _LONE_RETURN.sub("\n", _SURROGATE.sub("\ufffd", text))
        data = self.source.encode()
        # The characters before each byte; not needed where every character is one byte.
        self.characters = None if len(data) == len(text) else [0, *accumulate(data.translate(_FIRST_BYTE))]
        self.open = [_Open("quote", 0, len(text), 0, [])]
        self.skipped = 0

    def blocks(self) -> tuple[Block, ...]:
        for event, place in pyromark.events_with_range(self.source, options=_OPTIONS):
            name, value = _only(event)
            tag, detail = _only(value)
            if name == "Start" and tag in _KINDS:
                self._start(tag, detail, place)
            elif name == "End" and tag in _KINDS:
                self._end()
            elif self.skipped:
                continue
            elif name == "Rule":
                self._close_loose()
                self._add(block(self.text, "rule", *self._span(place)))
            elif self.open[-1].kind == "item" and name != "End":
                self._extend_loose(*self._span(place))
        return tuple(self.open[0].children)

    def _start(self, tag: str, detail: Any, place: Any) -> None:
        if self.skipped or len(self.open) > _MAX_NESTING:
            self.skipped += 1
            return
        self._close_loose()
        kind, number = _KINDS[tag], 0
        if tag == "List" and detail is not None:
            kind, number = "ordered", int(detail)
        elif tag == "Heading":
            number = int(detail["level"][1:])
        self.open.append(_Open(kind, *self._span(place), number, []))

    def _end(self) -> None:
        if self.skipped:
            self.skipped -= 1
            return
        self._close_loose()
        done = self.open.pop()
        children = tuple(done.children)
        more: dict[str, Any] = {"children": children, "number": done.number}
        if done.kind == "ordered" and children:
            more["family"] = children[0].family
        made = block(self.text, done.kind, done.start, done.end, **more)
        self._add(self._item(made) if done.kind == "item" else made)

    def _item(self, item: Block) -> Block:
        marker = MARKER.match(self.text, item.start, item.end)
        if marker is None:
            return item
        number, family = int(marker[1] or 0), marker[2] or ""
        return replace(item, content=min(marker.end(), item.end), number=number, family=family)

    def _extend_loose(self, start: int, end: int) -> None:
        first, last = self.open[-1].loose or (start, end)
        self.open[-1].loose = (first, max(last, end))

    def _close_loose(self) -> None:
        """Text of a tight item, which has no paragraph around it, becomes one."""
        loose = self.open[-1].loose
        if loose is not None:
            self._add(block(self.text, "paragraph", *loose))
            self.open[-1].loose = None

    def _add(self, made: Block) -> None:
        # What is white space to Python but not to the parser, as "\x1f", makes a paragraph without text.
        if made.end > made.start:
            self.open[-1].children.append(made)

    def _span(self, place: Any) -> tuple[int, int]:
        start, end = place["start"], place["end"]
        return (start, end) if self.characters is None else (self.characters[start], self.characters[end])
