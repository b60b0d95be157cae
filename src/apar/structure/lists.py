"""Top-level lists as parts.

What a person sees as one numbered list may be several to Markdown: a paragraph or a bullet without
indentation under an item ends the list, and the next number opens a new one. Here such fragments become one
list again, and an item gets the blocks that stand under it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, takewhile

from apar.structure.criteria import ExtractConfig, Part
from apar.structure.leads import item_lead
from apar.structure.markdown import Block, BlockKind, Document, Item

# "1995. It grew" at the start of a line is an item to the parser, and a year to a person.
_LARGEST_FIRST_NUMBER = 200
_SECTION_KINDS: frozenset[BlockKind] = frozenset(("heading", "rule"))
_TITLE = re.compile(r"(\*\*|__)[^\n]*(\*\*|__):?|[^\n]*:(\*\*|__)?")


@dataclass(frozen=True, slots=True)
class List:
    """A list of the answer as a person sees it; `parts` are those of its items that can fork."""

    ordered: bool
    num_items: int
    parts: tuple[Part, ...]


def lists(text: str, document: Document, config: ExtractConfig) -> list[List]:
    """The top-level lists in order."""
    found: dict[int, List] = {}
    taken: set[int] = set()
    for fragments in _numbered(document.blocks):
        items, owned = _joined(text, document.blocks, fragments)
        taken |= owned
        if _counts_up(items):
            found[fragments[0]] = _list(text, items, True, config)
    for index, block in enumerate(document.blocks):
        if block.kind == "bullet" and index not in taken:
            found[index] = _list(text, list(block.items), False, config)
    return [found[index] for index in sorted(found)]


def _numbered(blocks: Sequence[Block]) -> Iterator[list[int]]:
    """The indices of the ordered blocks that count on from each other."""
    run: list[int] = []
    for index, block in enumerate(blocks):
        if block.kind != "ordered":
            continue
        if run and block.items[0].number != _last_number(blocks[run[-1]]) + 1:
            yield run
            run = []
        run.append(index)
    if run:
        yield run


def _last_number(block: Block) -> int:
    # The parser's numbers are those of the source, which may be "1." for every item.
    return max(block.items[-1].number or 0, (block.items[0].number or 0) + len(block.items) - 1)


def _joined(text: str, blocks: Sequence[Block], fragments: Sequence[int]) -> tuple[list[Item], set[int]]:
    """The items of a numbered list, each with the blocks under it, and the indices of those blocks."""
    between = [range(one + 1, other) for one, other in pairwise(fragments)]
    under = [_under(text, blocks, fragment, gap) for fragment, gap in zip(fragments, between, strict=False)]
    under.append(_under_last(blocks, fragments, under))
    items: list[Item] = []
    for fragment, owned in zip(fragments, under, strict=True):
        items += blocks[fragment].items
        if owned:
            items[-1] = replace(items[-1], end=blocks[owned[-1]].end)
    return items, {index for owned in under for index in owned}


def _under(text: str, blocks: Sequence[Block], fragment: int, gap: Sequence[int]) -> list[int]:
    """Which blocks between two fragments belong to the item before them."""
    owned = list(takewhile(lambda index: blocks[index].kind not in _SECTION_KINDS, gap))
    while owned and _is_title(text, blocks[owned[-1]]):
        owned.pop()
    # After several items in a row, a paragraph is more likely a remark between two parts of the list.
    if owned and len(blocks[fragment].items) > 1 and blocks[owned[0]].kind == "paragraph":
        return []
    return owned


def _under_last(blocks: Sequence[Block], fragments: Sequence[int], under: Sequence[list[int]]) -> list[int]:
    """Which blocks belong to the last item: those like the first item's, if all items have some."""
    if not under or not all(under) or any(len(blocks[fragment].items) > 1 for fragment in fragments):
        return []
    pattern = [blocks[index].kind for index in under[0]]
    after = range(fragments[-1] + 1, len(blocks))
    return [index for index, kind in zip(after, pattern, strict=False) if blocks[index].kind == kind]


def _is_title(text: str, block: Block) -> bool:
    return block.kind == "paragraph" and _TITLE.fullmatch(text, block.start, block.end) is not None


def _counts_up(items: Sequence[Item]) -> bool:
    numbers = [item.number or 0 for item in items]
    steps = {other - one for one, other in pairwise(numbers)}
    return numbers[0] <= _LARGEST_FIRST_NUMBER and steps <= {0, 1}


def _list(text: str, items: list[Item], ordered: bool, config: ExtractConfig) -> List:
    items = _without_closing(items)
    parts = [part for item in items if (part := _part(text, item, config)) is not None]
    # Items of the same lead ("Premise:", "Question:") tell nothing of what comes in parallel.
    times = Counter(text[part.start : part.lead_end] for part in parts)
    distinct = (part for part in parts if times[text[part.start : part.lead_end]] == 1)
    return List(ordered, len(items), tuple(distinct))


def _without_closing(items: list[Item]) -> list[Item]:
    """Cut a closing remark off the last item: a line without indentation, where no other item has one."""
    *others, last = items
    if last.lazy is None or not others or any(item.lazy is not None for item in others):
        return items
    return [*others, replace(last, end=last.lazy, first_end=min(last.first_end, last.lazy))]


def _part(text: str, item: Item, config: ExtractConfig) -> Part | None:
    lead = item_lead(text[item.content : item.first_end], item.end - item.first_end, config)
    if lead is None:
        return None
    part = Part(item.content, item.content + lead, item.end)
    detail = text[part.lead_end : part.end].strip()
    return part if len(detail) >= config.min_detail_chars else None
