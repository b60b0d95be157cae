from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apar.errors import TreeError
from apar.tree import ROOT, Node, ParagraphTree
from tests.trees import encoded, trees

# Two items; the detail of the first is a list of two itself.
NESTED = ParagraphTree(
    Node("1.", Node("a:", Node("A"), Node("b:", Node("B"), Node("!"))), Node("2.", Node("c"), Node("end")))
)


def test_the_text_is_read_node_then_detail_then_next() -> None:
    assert NESTED.text == "1.a:Ab:B!2.cend"
    assert [node.text for node in NESTED.nodes()] == ["1.", "a:", "A", "b:", "B", "!", "2.", "c", "end"]


def test_threads_are_chains_of_nodes_each_told_before_its_children() -> None:
    chains = [(thread.path, [node.text for node in thread.nodes]) for thread in NESTED.threads()]
    assert chains == [
        ((0,), ["1.", "2.", "end"]),
        ((0, 0), ["a:", "b:", "!"]),
        ((0, 0, 0), ["A"]),
        ((0, 0, 1), ["B"]),
        ((0, 1), ["c"]),
    ]


def test_a_threads_path_tells_its_parent() -> None:
    parents = {thread.path: thread.parent for thread in NESTED.threads()}
    assert parents == {(0,): None, (0, 0): (0,), (0, 0, 0): (0, 0), (0, 0, 1): (0, 0), (0, 1): (0,)}


def test_forks_threads_and_depth_are_counted() -> None:
    assert (NESTED.num_forks, NESTED.num_threads, NESTED.depth) == (4, 5, 3)
    leaf = ParagraphTree.leaf("plain")
    assert (leaf.num_forks, leaf.num_threads, leaf.depth) == (0, 1, 1)
    assert next(leaf.threads()).path == ROOT


@given(trees())
def test_a_tree_is_its_text_and_its_forks(tree: ParagraphTree) -> None:
    assert ParagraphTree.from_forks(tree.text, json.loads(json.dumps(tree.forks()))) == tree


@given(trees())
def test_encoding_gives_every_node_its_tokens_and_changes_nothing_else(tree: ParagraphTree) -> None:
    with_tokens = encoded(tree)
    assert (with_tokens.text, with_tokens.forks()) == (tree.text, tree.forks())
    assert all(node.tokens == tuple(map(ord, node.text)) for node in with_tokens.nodes())
    assert with_tokens != tree


@given(trees())
def test_random_trees_are_legal_and_have_a_thread_more_than_forks(tree: ParagraphTree) -> None:
    tree.check()
    assert tree.num_threads == len(list(tree.threads())) == tree.num_forks + 1


def test_trees_are_equal_by_text_and_form() -> None:
    flat = ParagraphTree(Node("a", Node("b"), Node("c")))
    assert flat == ParagraphTree(Node("a", Node("b"), Node("c")))
    assert hash(flat) == hash(ParagraphTree(Node("a", Node("b"), Node("c"))))
    assert flat != ParagraphTree.leaf("abc")
    assert flat != "abc"
    left = ParagraphTree(Node("a", Node("b", Node("c"), Node("d")), Node("e")))
    right = ParagraphTree(Node("a", Node("b"), Node("c", Node("d"), Node("e"))))
    assert left.text == right.text
    assert left != right


@pytest.mark.parametrize(
    ("root", "message"),
    [
        (Node("a", detail=Node("b")), "has one pointer"),
        (Node("a", next=Node("b")), "has one pointer"),
        (Node("", Node("b"), Node("c")), "without text forks"),
        (Node("a", Node(""), Node("c")), "detail of node 'a' has no text"),
    ],
)
def test_an_illegal_form_is_told_with_the_node(root: Node, message: str) -> None:
    with pytest.raises(TreeError, match=message):
        ParagraphTree(root).check()


def test_a_next_without_text_is_a_thread_that_ends_after_its_fork() -> None:
    ParagraphTree(Node("a", Node("b"), Node(""))).check()


def test_forks_are_offsets_of_the_lead_s_and_the_detail_s_end() -> None:
    assert NESTED.text == "1.a:Ab:B!2.cend"
    assert NESTED.forks() == [(2, 9), (4, 5), (7, 8), (11, 12)]


@pytest.mark.parametrize(
    "forks",
    [
        [(0, 2)],  # a node without text
        [(2, 2)],  # a detail without text
        [(2, 11)],  # beyond the text
        [(2, 4), (4, 6)],  # nothing between a detail and the next fork
        [(2, 6), (2, 4)],  # nothing between a fork and the fork in its detail
        [(2, 6), (4, 8)],  # crossing
        [(4, 6), (1, 3)],  # out of order
        [(-2, 3)],
    ],
)
def test_forks_that_make_no_tree_are_told(forks: list[tuple[int, int]]) -> None:
    with pytest.raises(TreeError, match="does not fit"):
        ParagraphTree.from_forks("0123456789", forks)


def test_a_list_longer_than_the_recursion_limit_works() -> None:
    chain = Node("end")
    for _ in range(20_000):
        chain = Node("item", Node("detail"), chain)
    tree = ParagraphTree(chain)
    tree.check()
    assert ParagraphTree.from_forks(tree.text, tree.forks()) == tree
    assert encoded(tree).num_threads == 20_001


@given(trees(), st.integers(0, 4))
def test_a_limited_tree_has_the_same_text_and_the_forks_of_its_first_levels(tree: ParagraphTree, depth: int) -> None:
    limited = encoded(tree).limited(depth)
    limited.check()
    assert (limited.text, limited.depth) == (tree.text, min(tree.depth, depth + 1))
    assert [token for node in limited.nodes() for token in node.tokens or ()] == [ord(sign) for sign in tree.text]
    shallow = [thread for thread in tree.threads() if len(thread.path) <= depth + 1]
    assert [thread.path for thread in limited.threads()] == [thread.path for thread in shallow]
    assert tree.limited(tree.depth) == tree
