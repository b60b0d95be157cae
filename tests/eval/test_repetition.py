"""What siblings repeat."""

from __future__ import annotations

import pytest

from apar.eval.repetition import as_forked, as_read, repetition_figures
from apar.tree import Node, ParagraphTree
from tests.eval.answers import answered, by_way, prompt


def chain(*parts: tuple[str, str], opening: str = "") -> ParagraphTree:
    """A list as a tree: leads and details, the first lead behind the opening."""
    node = Node("")
    for number, (lead, detail) in reversed(list(enumerate(parts, 1))):
        start = opening if number == 1 else ""
        node = Node(f"{start}\n{number}. **{lead}**:", Node(f" {detail}"), node)
    return ParagraphTree(node)


def test_ngrams_of_a_detail_that_a_sibling_has_too_are_counted() -> None:
    tree = chain(("One", "Drink a lot of water."), ("Two", "You may drink a lot of tea."), ("Three", "Go out."))
    # "drink a lot of" stands in both: one of two n-grams of the first detail and one of four of the second.
    assert as_forked(answered("p", tree=tree)).ngrams == pytest.approx(2 / 6)


def test_a_detail_that_repeats_itself_repeats_no_sibling() -> None:
    tree = chain(("One", "on and on and on and on"), ("Two", "something else entirely different here"))
    assert as_forked(answered("p", tree=tree)).ngrams == 0


def test_leads_are_compared_word_by_word_without_markers_and_mark_up() -> None:
    tree = chain(("Stay healthy", "a"), ("Sleep", "b"), ("stay HEALTHY", "c"), opening="Some tips:\n")
    found = as_forked(answered("p", tree=tree))
    assert found.leads == pytest.approx(1 / 2)
    assert found.parts == 3


def test_details_of_different_threads_are_no_siblings() -> None:
    inner = chain(("Deep", "the same words as above"))
    tree = ParagraphTree(Node("1. One:", Node(" the same words as above"), Node("\n2. Two:", inner.root, Node(""))))
    # The inner list has one item only. Of the outer details, the second ("1. Deep: the same …") has four n-grams.
    found = as_forked(answered("p", tree=tree))
    assert found.parts == 2
    assert found.ngrams == pytest.approx(4 / 6)


TEXT = """Here are some tips:

1. **Sleep well:** go to bed at ten every day.
2. **Eat well:** go to bed at ten after dinner.
3. **Sleep well:** other words stand in here.
4. Walk
"""


def test_the_same_is_read_from_the_lists_of_any_text() -> None:
    found = as_read(TEXT)
    assert found.parts == 4
    assert found.leads == pytest.approx(1 / 3)
    assert found.without_detail == pytest.approx(1 / 4)
    # "go to bed at" and "to bed at ten" stand twice; the details have 4, 4 and 2 n-grams.
    assert found.ngrams == pytest.approx(4 / 10)


def test_items_that_are_leads_only_are_read_as_such() -> None:
    found = as_read("Tips:\n\n" + "".join(f"{number}. Stay healthy\n" for number in range(1, 6)))
    assert (found.leads, found.without_detail, found.ngrams) == (1, 1, None)


def test_prose_has_no_siblings() -> None:
    found = as_read("One paragraph.\n\nAnd another one.")
    assert (found.parts, found.ngrams, found.leads) == (0, None, None)


def test_the_figures_pair_the_model_with_its_twin_where_both_have_lists() -> None:
    plain = "No list at all."
    answers = by_way(
        answered("a", "forked", ParagraphTree.leaf(TEXT)),
        answered("b", "forked", chain(("One", "x"), ("Two", "y")), threads=4, empty_details=1),
        answered("a", "twin", ParagraphTree.leaf(TEXT.replace("3. **Sleep well", "3. **Be well"))),
        answered("b", "twin", ParagraphTree.leaf(plain)),
    )
    found = repetition_figures([prompt("a"), prompt("b")], answers)
    assert found["paired"]["forked"]["twin"]["leads"]["prompts"] == 1
    assert found["paired"]["forked"]["twin"]["leads"]["difference"]["value"] == pytest.approx(1 / 3)
    assert found["paired"]["forked"]["twin"]["ngrams"]["difference"]["value"] == pytest.approx(0)
    assert found["as_read"]["twin"]["answers"] == 1
    assert found["as_forked"]["forked"]["answers"] == 1
    assert (found["as_forked"]["forked"]["details"], found["as_forked"]["forked"]["empty_details"]) == (3, 1)


def test_without_a_twin_nothing_is_paired() -> None:
    assert repetition_figures([prompt("a")], by_way(answered("a", tree=TEXT)))["paired"] == {"forked": {}}
