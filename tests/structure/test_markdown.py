"""Blocks have exact offsets in the source, whatever the line breaks, the characters and the nesting."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apar.structure.markdown import Block, parse
from tests.structure.texts import markdown_like


def blocks(text: str) -> list[tuple[str, str]]:
    return [(block.kind, text[block.start : block.end]) for block in parse(text)]


def outline(text: str, blocks: Sequence[Block]) -> list[object]:
    return [text[one.content : one.end] if not one.children else outline(text, one.children) for one in blocks]


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
def test_each_kind_of_block_is_found_where_it_stands(line_break: str) -> None:
    lines = ["# Title", "", "A **paragraph**", "of two lines.", "", "> quoted", "", "---", "", "```", "code", "```"]
    text = line_break.join(lines)
    assert blocks(text) == [
        ("heading", "# Title"),
        ("paragraph", f"A **paragraph**{line_break}of two lines."),
        ("quote", "> quoted"),
        ("rule", "---"),
        ("code", line_break.join(["```", "code", "```"])),
    ]


def test_a_table_and_a_block_of_markup() -> None:
    assert blocks("| a | b |\n|---|---|\n| 1 | 2 |\n\n<div>\nx\n</div>") == [
        ("table", "| a | b |\n|---|---|\n| 1 | 2 |"),
        ("html", "<div>\nx\n</div>"),
    ]


@pytest.mark.parametrize("odd", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\x00", "\ud800", "é", "中", "😀"])
def test_no_character_moves_an_offset(odd: str) -> None:
    text = f"{odd}a\n\n1. one{odd}two\n2. three"
    assert outline(text, parse(text)) == [f"{odd}a".strip(), [[f"one{odd}two"], ["three"]]]


def test_items_have_a_paragraph_whether_tight_or_loose() -> None:
    tight, loose = "- *one*\n- two\n  - three **four**", "- *one*\n\n- two\n\n  - three **four**"
    for text in (tight, loose):
        assert outline(text, parse(text)) == [[["*one*"], ["two", [["three **four**"]]]]]


def test_numbers_and_families_are_those_of_the_source() -> None:
    (dots,) = parse("4. four\n5. five\n7. seven")
    assert (dots.family, [item.number for item in dots.children]) == (".", [4, 5, 7])
    assert parse("1) one")[0].family == ")"
    assert parse("### Third")[0].number == 3


def test_an_item_opens_after_its_marker() -> None:
    text = "-   wide\n- \tfar"
    (bullets,) = parse(text)
    assert [text[item.content : item.end] for item in bullets.children] == ["wide", "far"]
    assert [text[item.start] for item in bullets.children] == ["-", "-"]


@given(st.one_of(st.text(st.characters()), markdown_like()))
def test_blocks_lie_in_order_in_their_parents_and_have_no_white_space_around(text: str) -> None:
    def check(blocks: Sequence[Block], start: int, end: int) -> None:
        at = start
        for block in blocks:
            assert at <= block.start <= block.content <= block.end <= end
            body = text[block.start : block.end]
            assert body == body.strip()
            check(block.children, block.start, block.end)
            at = block.end

    check(parse(text), 0, len(text))


def kinds(blocks: Sequence[Block]) -> Iterator[str]:
    for block in blocks:
        yield block.kind
        yield from kinds(block.children)


def test_nesting_beyond_any_use_is_bounded() -> None:
    assert len(list(kinds(parse(">" * 100_000 + "x")))) < 100
