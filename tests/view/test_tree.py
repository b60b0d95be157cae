"""The drawing of a tree holds all its text, a branch per node, and nothing that steers the terminal."""

from __future__ import annotations

import io

from rich.console import Console
from rich.tree import Tree

from apar.tree import Node, ParagraphTree
from apar.view.tree import draw_tree

NESTED = ParagraphTree(
    Node(
        "Intro\n\n1. One:",
        Node(" inner:", Node(" deepest"), Node("\n and on")),
        Node("\n2. Two:", Node(" second"), Node("")),
    )
)


def drawn(tree: ParagraphTree, terminal: bool = False) -> str:
    file = io.StringIO()
    console = Console(file=file, width=60, force_terminal=terminal, color_system="standard" if terminal else None)
    console.print(draw_tree(tree, "title"))
    return file.getvalue()


def labels(branch: Tree) -> list[object]:
    return [[str(child.label), labels(child)] for child in branch.children]


def test_details_are_branches_under_the_node_that_forks_them() -> None:
    assert labels(draw_tree(NESTED, "title")) == [
        ["Intro\n\n1. One:[Fork]", [["inner:[Fork]", [["deepest", []]]], ["and on", []]]],
        ["2. Two:[Fork]", [["second", []]]],
    ]


def test_every_thread_has_a_colour_unlike_its_neighbours() -> None:
    root = draw_tree(NESTED, "title")
    first, second = root.children
    inner = first.children[0]
    styles = [branch.label.style for branch in (first, inner, inner.children[0], second.children[0])]  # type: ignore[union-attr]
    assert len(set(styles)) >= 3
    assert styles[0] == second.label.style  # type: ignore[union-attr]
    assert styles[0] != styles[1] != styles[2]


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
