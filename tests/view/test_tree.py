"""The drawing of a tree holds all its text, details under their leads, and nothing that steers the terminal."""

from __future__ import annotations

import io
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from apar.structure.labels import Refusal
from apar.tree import Node, ParagraphTree
from apar.view.tree import draw_tree
from tests.trees import trees

NESTED = ParagraphTree(
    Node(
        "Intro\n\n1. One:",
        Node(" inner:", Node(" deepest"), Node("\n and on")),
        Node("\n2. Two:", Node(" second"), Node("")),
    )
)


def drawn(tree: ParagraphTree, terminal: bool = False, width: int = 60, refusals: Sequence[Refusal] = ()) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=terminal, color_system="standard" if terminal else None)
    console.print(draw_tree(tree, "title", refusals))
    return file.getvalue()


def test_details_are_set_in_under_the_node_that_forks_them() -> None:
    assert drawn(NESTED).splitlines() == [
        "title",
        "Intro",
        "",
        "1. One:[Fork] 0.0",
        "│ inner:[Fork] 0.0.0",
        "│ │ deepest",
        "│  and on",
        "2. Two:[Fork] 0.1",
        "│ second",
    ]


def test_every_thread_has_a_colour_unlike_its_neighbours() -> None:
    styles = {path: str(text.spans[0].style) for path, text in draw_tree(NESTED, "title").nodes}
    assert len(set(styles.values())) >= 3
    assert styles[0,] != styles[0, 0] != styles[0, 0, 0]
    assert styles[0,] != styles[0, 1] != styles[0, 0]


def test_no_line_is_wider_than_the_terminal_however_deep_the_tree() -> None:
    node = Node("很深的地方还有一些话要说，不要太宽。")
    for level in range(30):
        node = Node(f"level {level}:", node, Node(""))
    for width in (10, 30, 80):
        lines = drawn(ParagraphTree(node), width=width).splitlines()
        assert max(map(cell_len, lines)) <= width
    # However deep, most of a narrow line is text.
    assert max(line.count("│") for line in lines) <= 28
    assert lines[-1].lstrip("│ ")


def test_a_line_of_a_list_within_a_list_keeps_its_indentation() -> None:
    tree = ParagraphTree(Node("a:", Node(" b"), Node("\n\n   - c:", Node(" d"), Node("\n"))))
    assert "   - c:[Fork] 0.1" in drawn(tree).splitlines()


@given(trees(), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=4))
def test_refused_groups_stand_between_marks(tree: ParagraphTree, spans: list[tuple[int, int]]) -> None:
    length = len(tree.text)
    refusals = [Refusal(*sorted(span), "carried_over") for span in spans if span[0] != span[1] and max(span) <= length]
    shown = "".join(drawn(tree, width=10_000, refusals=refusals).split())
    assert shown.count("⟦carriedover:") == shown.count("⟧") == len(refusals)
    # A blank node has a line only for a mark, and with it the line's bars.
    bare = shown.replace("⟦carriedover:", "").replace("⟧", "").replace("│", "")
    assert bare == "".join(drawn(tree, width=10_000).split()).replace("│", "")


def test_the_reason_stands_where_the_refused_group_begins() -> None:
    tree = ParagraphTree(Node("a:", Node(" b c d"), Node("")))
    assert "│ b ⟦continued: c⟧ d" in drawn(tree, refusals=[Refusal(5, 6, "continued")])


def test_it_is_plain_text_where_there_is_no_terminal() -> None:
    assert "\x1b" not in drawn(NESTED)
    assert "\x1b[" in drawn(NESTED, terminal=True)


def test_what_would_steer_the_terminal_is_replaced() -> None:
    hostile = "a\x1b[2Jb\x07\x9bc\u202ed\ud83de\r\nf\tg"
    assert "a\ufffd[2Jb\ufffd\ufffdc\ufffdd\ufffde" in drawn(ParagraphTree.leaf(hostile))
    assert "\x1b" not in drawn(ParagraphTree.leaf(hostile))


def test_markup_of_the_answer_is_text() -> None:
    assert "[red]no[/red] [link=x]" in drawn(ParagraphTree.leaf("[red]no[/red] [link=x]"))


def test_a_node_of_white_space_that_forks_keeps_its_detail() -> None:
    tree = ParagraphTree(Node(" ", Node("first"), Node("\n", Node("second"), Node("last"))))
    shown = drawn(tree)
    assert all(word in shown for word in ("first", "second", "last"))
