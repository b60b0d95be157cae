"""The top-level blocks of a Markdown text, with exact character offsets into it.

The parser (markdown-it-py, CommonMark with tables) tells lines; here lines become offsets. A line ends
where the parser says it does, at "\\n", "\\r\\n" or "\\r" and nowhere else: `str.splitlines` would also
break at form feeds and U+2028. The parser replaces null characters, one for one, so no offset moves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Literal

from markdown_it import MarkdownIt
from markdown_it.token import Token

BlockKind = Literal["paragraph", "heading", "ordered", "bullet", "quote", "code", "table", "html", "rule"]
_KINDS: dict[str, BlockKind] = {
    "paragraph_open": "paragraph",
    "heading_open": "heading",
    "ordered_list_open": "ordered",
    "bullet_list_open": "bullet",
    "blockquote_open": "quote",
    "fence": "code",
    "code_block": "code",
    "table_open": "table",
    "html_block": "html",
    "hr": "rule",
}
_LINE_BREAK = re.compile(r"\r\n?|\n")
_MARKER = re.compile(r"[ \t]*(?:\d{1,9}[.)]|[-+*])[ \t]*")


@dataclass(frozen=True, slots=True)
class Item:
    """A list item: `[start, end)` with its marker, its own text from `content` on.

    `first_end` is where its first paragraph ends (`content` where it opens with something else), `lazy` the
    end of the line before its first line without indentation, if it has such a line.
    """

    number: int | None
    start: int
    content: int
    first_end: int
    end: int
    lazy: int | None

    @property
    def nested(self) -> bool:
        """Whether more blocks follow the first paragraph."""
        return self.end > self.first_end


@dataclass(frozen=True, slots=True)
class Block:
    """A top-level block: `[start, end)` without the white space around it. `items` if it is a list."""

    kind: BlockKind
    start: int
    end: int
    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """The top-level blocks in order, and every kind of block that occurs at any depth."""

    blocks: tuple[Block, ...]
    kinds: frozenset[BlockKind]


def parse(text: str) -> Document:
    """Parse any string. What belongs to no block (blank lines, link definitions) lies between blocks."""
    tokens = _parser().parse(text)
    source = _Source(text)
    blocks = tuple(source.block(group) for group in _groups(tokens, level=0))
    return Document(blocks, frozenset(_KINDS[token.type] for token in tokens if token.type in _KINDS))


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark").enable("table")
    # Inline tokens carry no positions: blocks are all that is asked of it, and ten times as quick.
    parser.core.ruler.enableOnly(["normalize", "block"])
    return parser


def _groups(tokens: list[Token], level: int) -> Iterator[list[Token]]:
    """The runs of tokens that make one block each, `level` levels deep."""
    group: list[Token] = []
    for token in tokens:
        if token.level < level:
            continue
        group.append(token)
        if token.level == level and token.nesting <= 0:
            yield group
            group = []


class _Source:
    """The text and where its lines begin."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.starts = [0, *(match.end() for match in _LINE_BREAK.finditer(text))]

    def block(self, tokens: list[Token]) -> Block:
        kind = _KINDS[tokens[0].type]
        start, end = self.span(tokens[0])
        items = (self.item(group) for group in _groups(tokens[1:-1], level=1)) if kind in ("ordered", "bullet") else ()
        return Block(kind, start, end, tuple(items))

    def item(self, tokens: list[Token]) -> Item:
        head = tokens[0]
        start, end = self.span(head)
        marker = _MARKER.match(self.text, start)
        content = min(marker.end(), end) if marker else start
        opens_with_text = (
            tokens[1].type == "paragraph_open" and tokens[1].map and head.map and tokens[1].map[0] == head.map[0]
        )
        first_end = self.span(tokens[1])[1] if opens_with_text else content
        number = int(head.info) if head.info else None
        return Item(number, start, content, max(first_end, content), end, self._lazy(head, end))

    def span(self, token: Token) -> tuple[int, int]:
        """First and last (exclusive) character of a block, without the white space around it."""
        first, last = token.map or [0, 0]
        start = self.starts[first]
        stop = self.starts[last] if last < len(self.starts) else len(self.text)
        body = self.text[start:stop]
        end = start + len(body.rstrip())
        return min(start + len(body) - len(body.lstrip()), end), end

    def _lazy(self, head: Token, end: int) -> int | None:
        first, last = head.map or [0, 0]
        for before, start in pairwise(self.starts[first:last]):
            if start < end and not self.text[start].isspace():
                return before + len(self.text[before:start].rstrip())
        return None
