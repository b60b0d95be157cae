"""A paragraph tree drawn in the terminal: details set in under their leads, each thread in its colour.

A bar stands before the text for every thread it is within. `[Fork]` is followed by the path of the thread it
opens. Groups of parts that do not fork stand between `⟦reason:` and `⟧`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from apar.structure.labels import Refusal
from apar.tokens import FORK
from apar.tree import ROOT, Node, ParagraphTree, ThreadPath
from apar.view.labels import path_label, printable
from apar.view.refusal_spans import Piece, RefusedPieces

_COLOURS = ("cyan", "green", "yellow", "magenta", "blue", "bright_red")
# Text is given this many cells or more; of deeper details only the innermost bars are drawn.
_LEAST_TEXT = 24
# Empty lines, or spaces where there are none: the indentation of a line that begins with the node stays.
_LEADING = re.compile(r"\A(?:\s*\n|\s+)")


@dataclass(frozen=True, slots=True)
class TreeDrawing:
    """What rich draws: the title, and the text of each node with the path of its thread, in reading order."""

    title: Text
    nodes: Sequence[tuple[ThreadPath, Text]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self.title
        room = max(0, options.max_width - _LEAST_TEXT) // 2
        for path, text in self.nodes:
            bars = _bars(path, room, "|" if options.ascii_only else "│")
            for line in text.wrap(console, max(1, options.max_width - bars.cell_len)):
                line.rstrip()
                yield bars + line


def draw_tree(tree: ParagraphTree, title: str, refusals: Iterable[Refusal] = ()) -> TreeDrawing:
    """The tree as a rich renderable under `title`; empty lines and spaces at the ends of a node are left out."""
    return TreeDrawing(Text(printable(title)), list(_nodes(tree, RefusedPieces(tree.text, refusals))))


def _nodes(tree: ParagraphTree, refused: RefusedPieces) -> Iterator[tuple[ThreadPath, Text]]:
    forks: dict[ThreadPath, int] = {}
    stack: list[tuple[Node, ThreadPath]] = [(tree.root, ROOT)]
    at = 0
    while stack:
        node, path = stack.pop()
        text = _text(list(refused.pieces(at, at + len(node.text))), _colour(path))
        at += len(node.text)
        if node.detail is not None and node.next is not None:
            child = (*path, forks.setdefault(path, 0))
            forks[path] += 1
            stack += [(node.next, path), (node.detail, child)]
            text.append(FORK, "bold reverse").append(f" {path_label(child)}", "dim")
        if text:
            yield path, text


def _text(pieces: Sequence[Piece], colour: str) -> Text:
    """A node's text with the marks of refused groups, without empty lines and spaces at its ends."""
    text = Text()
    inked = [k for k, piece in enumerate(pieces) if piece.text.strip()]
    for k, piece in enumerate(pieces):
        shown = piece.text
        shown = _LEADING.sub("", shown) if not inked or k <= inked[0] else shown
        shown = shown.rstrip() if not inked or k >= inked[-1] else shown
        for reason in piece.begins:
            text.append(f"⟦{reason.replace('_', ' ')}: ", "bold red")
        text.append(printable(shown), f"dim {colour}" if piece.refused else colour)
        text.append("⟧" * piece.ends, "bold red")
    return text


def _bars(path: ThreadPath, room: int, bar: str) -> Text:
    """A bar in its colour for each thread from the outermost detail to `path`, the innermost `room` of them."""
    levels = range(2, len(path) + 1)[max(0, len(path) - 1 - room) :]
    return Text.assemble(*((f"{bar} ", _colour(path[:level])) for level in levels))


def _colour(path: ThreadPath) -> str:
    # Siblings and parents differ: every step down the path moves on by the child's place, plus one.
    return _COLOURS[sum(place + 1 for place in path[1:]) % len(_COLOURS)]
