"""Lists as parts.

What a person sees as one numbered list may be several to Markdown: a paragraph or a bullet without
indentation under an item ends the list, and the next number opens a new one. Here such fragments become one
list again, and an item gets the blocks that stand under it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise, takewhile

from apar.structure.config import StructureConfig
from apar.structure.labels import Rule
from apar.structure.leads import item_lead
from apar.structure.markdown import Block, BlockKind, block
from apar.structure.parts import Group, Part, distinct, part

LARGEST_FIRST_NUMBER = 200
"""No list begins with a larger number: "1995. It grew" at the start of a line is an item to the parser, and a year to a
person."""
LARGEST_STEP = 3
"""How much larger the next number may be: one may be missing where its line is broken."""
_BETWEEN_SECTIONS: frozenset[BlockKind] = frozenset(("heading", "rule"))
_TITLE = re.compile(r"(\*\*|__)[^\n]*(\*\*|__)[:：]?|[^\n]*[:：](\*\*|__)?")
_LAZY_LINE = re.compile(r"\n(?=\S)")


def joined(text: str, blocks: Sequence[Block]) -> list[Block]:
    """The blocks with the fragments of a numbered list joined, and no lists that are none."""
    blocks = [run for one in blocks for run in _runs(one)]
    found: list[Block | None] = list(blocks)
    for fragments in _numbered(blocks):
        if any(found[index] is None for index in fragments):
            continue  # already under an item of another list
        items, last = _joined(text, blocks, fragments)
        # What lies between two fragments and under no item is text of the thread that writes the list.
        found[fragments[0] + 1 : last + 1] = [None] * (last - fragments[0])
        found[fragments[0]] = _list_block(text, blocks[fragments[0]], items)
    return [one for one in found if one is not None]


def rule_of(block: Block) -> Rule:
    """What the items of a list are as parts."""
    return "ordered_list" if block.kind == "ordered" else "bullet_list"


def list_group(text: str, block: Block, config: StructureConfig) -> Group:
    """The items of a list as parts."""
    items = _without_closing(text, block.children)
    return Group(rule_of(block), distinct(text, [_part(text, item, config) for item in items], config))


def _runs(one: Block) -> Iterator[Block]:
    """A numbered list, parted where its numbers begin anew: to Markdown the next list is the same."""
    if one.kind != "ordered":
        yield one
        return
    items = one.children
    anew = [k for k in range(1, len(items)) if items[k].number < items[k - 1].number]
    for first, end in pairwise([0, *anew, len(items)]):
        run = items[first:end]
        yield replace(one, start=run[0].start, content=run[0].start, end=run[-1].end, children=run)


def _list_block(text: str, first: Block, items: Sequence[Block]) -> Block:
    if not _counts_up(items):
        return block(text, "paragraph", first.start, items[-1].end)
    return replace(first, end=items[-1].end, children=tuple(items))


def _numbered(blocks: Sequence[Block]) -> Iterator[list[int]]:
    """The indices of the numbered lists that count on from each other, by kind of marker."""
    runs: dict[str, list[list[int]]] = {}
    for index, one in enumerate(blocks):
        if one.kind != "ordered" or not one.children:
            continue
        of_kind = runs.setdefault(one.family, [])
        if of_kind and one.children[0].number == _last_number(blocks[of_kind[-1][-1]]) + 1:
            of_kind[-1].append(index)
        else:
            of_kind.append([index])
    yield from sorted(run for of_kind in runs.values() for run in of_kind)


def _last_number(block: Block) -> int:
    # The parser's numbers are those of the source, which may be "1." for every item.
    return max(block.children[-1].number, block.children[0].number + len(block.children) - 1)


def _joined(text: str, blocks: Sequence[Block], fragments: Sequence[int]) -> tuple[list[Block], int]:
    """The items of a numbered list, each with the blocks under it, and the index of the last of these blocks."""
    between = [range(one + 1, other) for one, other in pairwise(fragments)]
    under = [_under(text, blocks, fragment, gap) for fragment, gap in zip(fragments, between, strict=False)]
    under.append(_under_last(blocks, fragments, under))
    items: list[Block] = []
    for fragment, owned in zip(fragments, under, strict=True):
        items += blocks[fragment].children
        if owned:
            more = tuple(blocks[index] for index in owned)
            items[-1] = replace(items[-1], end=more[-1].end, children=(*items[-1].children, *more))
    return items, max((fragments[-1], *under[-1]))


def _under(text: str, blocks: Sequence[Block], fragment: int, gap: Sequence[int]) -> list[int]:
    """Which blocks between two fragments belong to the item before them."""
    owned = list(takewhile(lambda index: blocks[index].kind not in _BETWEEN_SECTIONS, gap))
    while owned and _is_title(text, blocks[owned[-1]]):
        owned.pop()
    # After several items in a row, a paragraph is more likely a remark between two parts of the list.
    if owned and len(blocks[fragment].children) > 1 and blocks[owned[0]].kind == "paragraph":
        return []
    return owned


def _under_last(blocks: Sequence[Block], fragments: Sequence[int], under: Sequence[list[int]]) -> list[int]:
    """Which blocks belong to the last item: those like the first item's, if all items have some."""
    if not under or not all(under) or any(len(blocks[fragment].children) > 1 for fragment in fragments):
        return []
    pattern = [blocks[index].kind for index in under[0]]
    after = range(fragments[-1] + 1, len(blocks))
    return [
        index for index, _ in takewhile(lambda pair: blocks[pair[0]].kind == pair[1], zip(after, pattern, strict=False))
    ]


def _is_title(text: str, block: Block) -> bool:
    return block.kind == "paragraph" and _TITLE.fullmatch(text, block.start, block.end) is not None


def _counts_up(items: Sequence[Block]) -> bool:
    numbers = [item.number for item in items]
    steps = (other - one for one, other in pairwise(numbers))
    return numbers[0] <= LARGEST_FIRST_NUMBER and all(0 <= step <= LARGEST_STEP for step in steps)


def _without_closing(text: str, items: Sequence[Block]) -> Sequence[Block]:
    """Cut a closing remark off the last item: a line without indentation, where no other item has one."""
    if len(items) < 2:
        return items
    *others, last = items
    line = _lazy_line(text, last)
    if line is None or any(_lazy_line(text, item) is not None for item in others):
        return items
    children = tuple(
        block(text, child.kind, child.start, min(child.end, line)) if child.end > line else child
        for child in last.children
        if child.start < line
    )
    return [*others, replace(last, end=max(child.end for child in children), children=children)]


def _lazy_line(text: str, item: Block) -> int | None:
    """Where the first line without indentation begins in the first paragraph of an item."""
    if not item.children or item.children[0].kind != "paragraph":
        return None
    line = _LAZY_LINE.search(text, item.children[0].start, item.children[0].end)
    return line.start() if line else None


def _part(text: str, item: Block, config: StructureConfig) -> Part:
    first = item.children[0] if item.children else None
    if first is None or first.kind != "paragraph" or text[item.content : first.start].strip():
        return Part(item.content, None, item.end, item.children)
    lead = item_lead(text[first.start : first.end], item.end - first.end, config)
    return part(text, first.start, lead, item.children, config)
