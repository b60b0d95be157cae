"""Trees as text: `▶` where a node forks, `◀` where its detail ends."""

from __future__ import annotations

from apar.structure.config import DEFAULT, StructureConfig
from apar.structure.extract import Extraction, extract


def plain(drawn: str) -> str:
    """The answer without the marks."""
    return drawn.replace("▶", "").replace("◀", "")


def draw(found: Extraction) -> str:
    """The answer with its marks."""
    text = found.tree.text
    marks = [(at, 1, "▶") for at, _ in found.tree.forks()] + [(end, 0, "◀") for _, end in found.tree.forks()]
    pieces, last = [], 0
    for place, _, mark in sorted(marks):
        pieces += [text[last:place], mark]
        last = place
    return "".join(pieces) + text[last:]


def redrawn(drawn: str, config: StructureConfig = DEFAULT) -> str:
    """What the extraction makes of a drawn answer; the same drawing if it agrees."""
    return draw(extract(plain(drawn), config))
