"""Blocks and items have exact offsets in the source, whatever the line breaks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apar.structure.markdown import Block, parse
from tests.structure.texts import markdown_like


def blocks(text: str) -> list[tuple[str, str]]:
    return [(block.kind, text[block.start : block.end]) for block in parse(text).blocks]


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
def test_each_kind_of_block_is_found_where_it_stands(line_break: str) -> None:
    lines = ["# Title", "", "A paragraph", "of two lines.", "", "> quoted", "", "---", "", "```", "code", "```"]
    text = line_break.join(lines)
    assert blocks(text) == [
        ("heading", "# Title"),
        ("paragraph", f"A paragraph{line_break}of two lines."),
        ("quote", "> quoted"),
        ("rule", "---"),
        ("code", line_break.join(["```", "code", "```"])),
    ]


@pytest.mark.parametrize("no_break", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
def test_only_the_parsers_line_breaks_end_a_line(no_break: str) -> None:
    text = f"1. one{no_break}two\n2. three"
    (block,) = parse(text).blocks
    assert [text[item.content : item.end] for item in block.items] == [f"one{no_break}two", "three"]


def test_null_characters_and_tabs_move_no_offset() -> None:
    text = "a\x00b\tc\n\n-\tfirst\x00\n-\tsecond"
    assert blocks(text)[0] == ("paragraph", "a\x00b\tc")
    items = parse(text).blocks[1].items
    assert [text[item.content : item.end] for item in items] == ["first\x00", "second"]


def test_items_carry_the_numbers_of_the_source() -> None:
    (block,) = parse("4. four\n5. five").blocks
    assert [item.number for item in block.items] == [4, 5]
    (bullets,) = parse("- one\n- two").blocks
    assert [item.number for item in bullets.items] == [None, None]


def test_an_items_first_paragraph_ends_before_its_nested_blocks() -> None:
    text = "1. Lead\n   goes on\n\n   - nested\n2. Next"
    first, second = parse(text).blocks[0].items
    assert text[first.content : first.first_end] == "Lead\n   goes on"
    assert text[first.first_end : first.end] == "\n\n   - nested"
    assert first.nested
    assert not second.nested


def test_an_item_that_opens_with_another_block_has_no_first_paragraph() -> None:
    text = "1. - nested\n2.\n   late"
    first, second = parse(text).blocks[0].items
    assert first.first_end == first.content
    assert second.first_end == second.content


def test_a_line_without_indentation_inside_an_item_is_lazy() -> None:
    text = "1. one\nlazy\n2. two\n   indented"
    first, second = parse(text).blocks[0].items
    assert first.lazy == len("1. one")
    assert second.lazy is None


def test_kinds_at_any_depth_are_told() -> None:
    assert parse("1. item\n\n   ```\n   code\n   ```").kinds == {"ordered", "paragraph", "code"}
    assert "table" in parse("| a | b |\n|---|---|\n| 1 | 2 |").kinds


@given(st.one_of(st.text(), markdown_like()))
def test_blocks_and_items_are_in_order_and_inside_the_text(text: str) -> None:
    at = 0
    for block in parse(text).blocks:
        assert at <= block.start <= block.end <= len(text)
        at = block.end
        _check_items(block)


def _check_items(block: Block) -> None:
    at = block.start
    for item in block.items:
        assert at <= item.start <= item.content <= item.first_end <= item.end <= block.end
        assert item.lazy is None or item.start <= item.lazy <= item.end
        at = item.end
