"""The groups of parts in a region: the blocks of an answer, or of one detail."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from apar.structure.config import StructureConfig
from apar.structure.lists import joined, list_group, rule_of
from apar.structure.markdown import Block
from apar.structure.parts import Group
from apar.structure.prose import prose_group
from apar.structure.pseudo_lists import with_marked_lists
from apar.structure.sections import Split, by_headings, by_titles, section_group


def outline(text: str, blocks: Sequence[Block], config: StructureConfig) -> list[Group]:
    """The groups of a region in order. A single heading is the region's title and parts nothing."""
    if "sections" in config.rules:
        split = by_headings(blocks)
        if len(split[1]) == 1:
            [(_, body)] = split[1]
            return [*outline(text, split[0], config), *outline(text, body, config)]
        if split[1]:
            return _sections(text, split, config)
    blocks = joined(text, with_marked_lists(text, blocks))
    if "sections" in config.rules:
        split = by_titles(text, blocks)
        if split[1]:
            return _sections(text, split, config)
    return _leaves(text, blocks, config)


def _sections(text: str, split: Split, config: StructureConfig) -> list[Group]:
    group, closing = section_group(text, split, config)
    return [*outline(text, split[0], config), group, *outline(text, closing, config)]


def _leaves(text: str, blocks: Sequence[Block], config: StructureConfig) -> list[Group]:
    """Lists, or the paragraphs around them, whichever holds more."""
    found = list(_lists(text, blocks, config))
    prose = prose_group(text, blocks, config)
    if prose is None:
        return found
    if not found:
        return [prose]
    in_lists = sum(_gain(group, config) for group in found)
    # Paragraphs that only lead to the lists do not count as prose.
    own = sum(1 for part in prose.forking if len(part.blocks) == 1)
    enough = own >= config.min_paragraphs or not in_lists
    return [prose] if enough and _gain(prose, config) > in_lists else found


def _lists(text: str, blocks: Sequence[Block], config: StructureConfig) -> Iterator[Group]:
    for one in blocks:
        if one.children and one.kind in ("ordered", "bullet") and rule_of(one) in config.rules:
            yield list_group(text, one, config)


def _gain(group: Group, config: StructureConfig) -> int:
    """Characters that need not be waited for: all details but the longest."""
    lengths = [part.end - part.at for part in group.forking if part.at is not None]
    enough = len(lengths) >= (config.min_paragraphs if group.rule == "paragraphs" else config.min_parts)
    return sum(lengths) - max(lengths) if enough else 0
