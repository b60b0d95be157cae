from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from apar.assemble import Recording
from apar.events import replay
from apar.tree import Node, ParagraphTree
from apar.view.labels import lead_label, path_label, printable, shorten


def test_a_path_reads_as_numbers_with_dots() -> None:
    assert path_label((0, 12, 3)) == "0.12.3"


def test_the_lead_of_a_thread_is_the_last_line_of_the_node_that_forked_it() -> None:
    tree = ParagraphTree(Node("Ways:\n\n1. Plan <ahead>: ", Node("x"), Node("\n2. Rest:\n", Node("y"), Node(""))))
    threads = Recording.of(replay(tree)).threads
    assert lead_label(threads, (0, 0), 40) == "1. Plan <ahead>:"
    assert lead_label(threads, (0, 1), 40) == "2. Rest:"
    assert lead_label(threads, (0,), 40) == "answer"


@pytest.mark.parametrize(
    ("text", "width", "short"),
    [
        ("one two three", 13, "one two three"),
        ("one two three", 12, "one two…"),
        ("incomprehensibilities", 8, "incompr…"),
        ("  two\n lines\t here ", 20, "two lines here"),
        ("早睡早起身体好", 8, "早睡早…"),
        ("anything", 0, ""),
    ],
)
def test_a_text_is_shortened_at_a_word_where_one_fits(text: str, width: int, short: str) -> None:
    assert shorten(text, width) == short


@given(st.text(), st.integers(0, 20))
def test_a_shortened_text_is_one_line_that_fits(text: str, width: int) -> None:
    short = shorten(text, width)
    assert cell_len(short) <= width
    assert len(short.splitlines()) <= 1


@given(st.text())
@example("\r\n")
def test_what_is_printable_cannot_steer_a_terminal(text: str) -> None:
    shown = printable(text)
    # A line end of two characters becomes one.
    assert len(shown) == len(text.replace("\r\n", "\n"))
    assert not any((ord(c) < 32 and c not in "\t\n") or 127 <= ord(c) < 160 for c in shown)
    shown.encode()


def test_ordinary_text_is_printable_as_it_is() -> None:
    assert printable("Grüße, 世界! 🌍\n\tok") == "Grüße, 世界! 🌍\n\tok"


def test_a_text_of_a_million_characters_is_shortened_like_its_beginning() -> None:
    words = "word " * 200_000
    assert shorten(words, 20) == shorten(words[:500], 20)
