from __future__ import annotations

import json

import pytest
from hypothesis import given

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
def test_a_tree_survives_json(tree: ParagraphTree) -> None:
    assert ParagraphTree.from_dict(json.loads(json.dumps(tree.to_dict()))) == tree


@given(trees())
def test_encoding_gives_every_node_its_tokens_and_changes_nothing_else(tree: ParagraphTree) -> None:
    with_tokens = encoded(tree)
    assert with_tokens.to_dict() == tree.to_dict()
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


@pytest.mark.parametrize(
    "data",
    [
        "text",
        {"detail": None, "next": None},
        {"text": 3},
        {"text": "a", "detail": {"text": "b"}, "next": None},
        {"text": "a", "detail": {"text": "b"}, "next": ["c"]},
        {"text": "a", "detail": {"text": "b"}, "next": {"text": None}},
    ],
)
def test_data_of_another_form_is_no_tree(data: object) -> None:
    with pytest.raises(TreeError):
        ParagraphTree.from_dict(data)  # type: ignore[arg-type]


def test_a_list_longer_than_the_recursion_limit_works() -> None:
    chain = Node("end")
    for _ in range(20_000):
        chain = Node("item", Node("detail"), chain)
    tree = ParagraphTree(chain)
    tree.check()
    assert ParagraphTree.from_dict(tree.to_dict()) == tree
    assert encoded(tree).num_threads == 20_001
