from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apar.assemble import Assembler, tree_of
from apar.errors import TreeError, UserError
from apar.events import Delta, Event, Finished, Forked, replay
from apar.tree import Node, ParagraphTree
from tests.trees import delta, encoded, shuffled, started, trees

ROOT, FIRST, SECOND = (0,), (0, 0), (0, 1)
STOPS = st.lists(st.text(alphabet="ab :\n", min_size=1, max_size=4), max_size=3)


@given(trees(), st.randoms(use_true_random=False))
def test_any_order_of_the_events_gives_the_text_of_the_tree(tree: ParagraphTree, rng: random.Random) -> None:
    assembler = Assembler()
    shown = ""
    for event in shuffled(replay(tree), rng):
        shown += assembler.feed(event)
        assert tree.text.startswith(shown)
        assert assembler.text == shown
    assert shown == tree.text
    assert assembler.finished
    assert assembler.pending == 0


@given(trees(), st.randoms(use_true_random=False))
def test_a_tree_comes_back_from_its_events(tree: ParagraphTree, rng: random.Random) -> None:
    assert tree_of(shuffled(replay(tree), rng)) == tree
    assert tree_of(shuffled(replay(encoded(tree)), rng)) == encoded(tree)


@given(trees(), STOPS, st.randoms(use_true_random=False))
def test_a_stop_text_cuts_at_the_same_place_in_any_order_of_events(
    tree: ParagraphTree, stop: list[str], rng: random.Random
) -> None:
    assembler = Assembler(stop)
    shown = "".join([assembler.feed(event) for event in shuffled(replay(tree), rng)])
    assert shown == assembler.text == _before_first_complete(tree.text, stop)
    assert assembler.stopped == any(text in tree.text for text in stop)
    assert assembler.tree().text == shown
    assembler.tree().check()


def _before_first_complete(text: str, stop: list[str]) -> str:
    """The slow, obvious rule: read character by character until a stop text is complete."""
    for end in range(len(text) + 1):
        met = [end - len(word) for word in stop if text[:end].endswith(word)]
        if met:
            return text[: min(met)]
    return text


@given(trees(), st.integers(0, 60))
def test_an_answer_cut_at_any_event_is_a_legal_tree_with_all_text_so_far(tree: ParagraphTree, cut: int) -> None:
    events = list(replay(tree))[: cut + 1]
    rebuilt = tree_of(events)
    rebuilt.check()
    assert sorted(rebuilt.text) == sorted("".join(getattr(event, "text", "") for event in events))


def test_a_forked_childs_text_is_shown_before_the_rest_of_its_parent() -> None:
    assembler = Assembler()
    assert assembler.feed(started(ROOT, 0)) == ""
    assert assembler.feed(delta(ROOT, 0, "1. Plan:")) == "1. Plan:"
    assert assembler.feed(Forked(ROOT, FIRST, 1)) == ""
    assert assembler.feed(delta(ROOT, 2, "\n2. Rest")) == ""
    assert assembler.pending == len("\n2. Rest")
    assert assembler.feed(started(FIRST, 2)) == ""
    assert assembler.feed(delta(FIRST, 2, " early")) == " early"
    assert assembler.feed(Finished(FIRST, 3, "eos")) == "\n2. Rest"
    assert not assembler.finished
    assert assembler.feed(Finished(ROOT, 3, "eos")) == ""
    assert assembler.finished


def test_what_may_become_a_stop_text_is_held_back_and_shown_when_it_does_not() -> None:
    assembler = Assembler(["END."])
    assembler.feed(started(ROOT, 0))
    assert assembler.feed(delta(ROOT, 0, "The EN")) == "The "
    assert assembler.feed(delta(ROOT, 1, "D")) == ""
    assert assembler.feed(delta(ROOT, 2, "!E")) == "END!"
    assert assembler.feed(Finished(ROOT, 3, "eos")) == "E"


def test_a_stop_text_is_found_across_the_border_of_two_threads() -> None:
    assembler = Assembler(["c d"])
    events: list[Event] = [started(ROOT, 0), delta(ROOT, 0, "a"), Forked(ROOT, FIRST, 1), started(FIRST, 2)]
    events += [delta(FIRST, 2, "b "), delta(FIRST, 3, "c"), delta(ROOT, 2, " d e"), Finished(FIRST, 3, "eos")]
    assert "".join(assembler.feed(event) for event in events) == "ab "
    assert assembler.stopped
    assert assembler.finished
    assert assembler.feed(delta(ROOT, 3, "more")) == ""
    assert assembler.tree() == encoded(ParagraphTree(Node("a", Node("b "), Node(""))))


def test_threads_cut_by_the_budget_are_taken_as_far_as_they_came() -> None:
    events: list[Event] = [
        started(ROOT, 0),
        delta(ROOT, 0, "a"),
        Forked(ROOT, FIRST, 1),
        started(FIRST, 2),
        delta(FIRST, 2, "x"),
        delta(ROOT, 2, "b"),
        Forked(ROOT, SECOND, 3),
        delta(FIRST, 3, "y"),
        Finished(FIRST, 3, "length"),
        Finished(ROOT, 3, "length"),
    ]
    assembler = Assembler()
    shown = "".join(assembler.feed(event) for event in events)
    assert shown == "axyb"
    finished_before, rest = assembler.finished, assembler.end()
    assert not finished_before, "the second child may yet start"
    assert rest == ""
    assert assembler.finished
    # The second fork was never carried out: the tree has no empty detail.
    assert assembler.tree() == encoded(ParagraphTree(Node("a", Node("xy"), Node("b"))))


def test_a_detail_that_ends_at_once_is_no_fork_in_the_tree() -> None:
    events: list[Event] = [started(ROOT, 0), delta(ROOT, 0, "a"), Forked(ROOT, FIRST, 1), started(FIRST, 2)]
    events += [Finished(FIRST, 2, "eos"), delta(ROOT, 2, "b"), Finished(ROOT, 3, "eos")]
    assert tree_of(events) == encoded(ParagraphTree.leaf("ab"))


def test_tokens_of_an_incomplete_character_stay_with_their_node() -> None:
    root = [
        started(ROOT, 0),
        Delta(ROOT, 0, (7,), ""),
        Delta(ROOT, 1, (8, 9), "é"),
        Delta(ROOT, 2, (), "\ufffd"),
    ]
    tree = tree_of([*root, Finished(ROOT, 3, "eos")])
    assert (tree.root.text, tree.root.tokens) == ("é\ufffd", (7, 8, 9))


def test_a_list_of_ten_thousand_items_and_a_depth_of_two_thousand_are_no_problem() -> None:
    wide = Node("")
    for _ in range(10_000):
        wide = Node("item", Node("detail"), wide)
    deep = Node("end")
    for _ in range(2_000):
        deep = Node("lead", deep, Node(""))
    for node in (wide, deep):
        tree = ParagraphTree(node)
        assembler = Assembler()
        assert "".join([assembler.feed(event) for event in replay(tree)]) == tree.text
        assert assembler.tree() == tree


BEGUN: list[Event] = [started(ROOT, 0), delta(ROOT, 0, "a")]
FORKED: list[Event] = [*BEGUN, Forked(ROOT, FIRST, 1)]


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ([delta(ROOT, 0, "a")], r"Delta at step 0: thread \(0,\) never started"),
        ([*BEGUN, started(ROOT, 1)], r"Started at step 1: thread \(0,\) has started already"),
        ([*BEGUN, started(FIRST, 1)], r"Started at step 1: thread \(0, 0\) was never forked"),
        ([started(FIRST, 1)], r"thread \(0, 0\) names \(0,\) as its parent"),
        ([*FORKED, started((0, 0, 0), 1)], r"thread \(0, 0, 0\) names \(0, 0\) as its parent"),
        (
            [started(ROOT, 0), Forked(ROOT, FIRST, 0)],
            r"Forked at step 0: thread \(0,\) forks without a token",
        ),
        ([*FORKED, Forked(ROOT, SECOND, 2)], r"Forked at step 2: thread \(0,\) forks without a token"),
        ([*BEGUN, Forked(ROOT, SECOND, 1)], r"thread \(0,\) forks \(0, 1\), but its next child is \(0, 0\)"),
        ([*BEGUN, Finished(ROOT, 1, "eos"), delta(ROOT, 2, "b")], r"Delta .* had finished at step 1"),
        ([*BEGUN, Finished(ROOT, 1, "eos"), Finished(ROOT, 2, "eos")], r"Finished .* had finished at step 1"),
        ([*FORKED, delta(FIRST, 1, "x")], r"thread \(0, 0\) never started"),
        ([*BEGUN, delta(ROOT, 5, "b"), Finished(ROOT, 0, "eos")], r"Finished .* was heard of at step 5 already"),
        ([*FORKED, started(FIRST, 0)], r"was forked at step \d+ and can start no earlier than the step after"),
    ],
)
def test_an_illegal_event_is_named_with_its_thread(events: list[Event], message: str) -> None:
    with pytest.raises(TreeError, match=message):
        tree_of(events)


def test_an_empty_stop_text_is_refused() -> None:
    with pytest.raises(UserError, match="stop text is empty"):
        Assembler(["", "x"])
