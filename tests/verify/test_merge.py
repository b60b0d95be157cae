"""Merging back loses no text, invents no fork, and puts on a dependent detail's path what it needs."""

from __future__ import annotations

from math import nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apar.data.records import TreeRecord
from apar.structure.labels import Refusal
from apar.tree import Fork, ParagraphTree
from apar.verify.details import details
from apar.verify.merge import merge_back
from tests.trees import trees


def record(tree: ParagraphTree, refusals: tuple[Refusal, ...] = ()) -> TreeRecord:
    messages = ({"role": "user", "content": "?"},)
    rule = "ordered_list" if tree.root.forks else "unstructured"
    return TreeRecord("x", "s", messages, tree.text, rule, None, tree, extra={}, refusals=refusals)


def listing(*levels: str) -> ParagraphTree:
    """Parts "a:b" one after another, each of two characters of lead and two of detail."""
    text = "".join(f"{name}:{name}." for name in levels)
    return ParagraphTree.from_forks(text, [(4 * k + 2, 4 * k + 4) for k in range(len(levels))])


@given(trees(), st.data(), st.integers(1, 3))
def test_no_text_is_lost_and_dependent_details_have_what_they_need(
    tree: ParagraphTree, data: st.DataObject, min_parts: int
) -> None:
    found = details(tree)
    increases = data.draw(st.lists(st.sampled_from([nan, 0.0, 1.0]), min_size=len(found), max_size=len(found)))
    before = record(tree)
    after = merge_back(before, increases, 0.5, min_parts)
    assert after.tree.text == after.response == tree.text
    after.tree.check()
    left = after.tree.forks()
    assert set(left) <= set(tree.forks())
    dependent = [d for d, increase in zip(found, increases, strict=True) if d.number and increase > 0.5]
    for detail in dependent:
        assert (detail.at, detail.end) not in left
        first = next(d for d in found if d.parent == detail.parent)
        assert not [fork for fork in left if first.at <= fork.at < detail.at]
        assert any(r.start <= detail.at and detail.end <= r.end for r in after.refusals)
    assert (after is before) == (not dependent)
    assert (after.reason == "dependent") == bool(dependent and not left)
    for one, other in zip(after.refusals, after.refusals[1:], strict=False):
        assert one.end <= other.start


def test_the_details_up_to_a_dependent_one_are_merged_and_those_after_it_stay() -> None:
    after = merge_back(record(listing(*"abcde")), [0.9, 0.0, 0.9, 0.0, 0.0], 0.5)
    assert after.tree.forks() == [Fork(14, 16), Fork(18, 20)]
    assert after.refusals == (Refusal(2, 12, "dependent"),)
    assert after.rule == "ordered_list"


def test_a_detail_left_alone_is_merged_too_and_the_answer_is_unstructured() -> None:
    after = merge_back(record(listing(*"abcd")), [0.0, 0.0, 0.9, 0.0], 0.5)
    assert (after.rule, after.reason) == ("unstructured", "dependent")
    assert after.tree == ParagraphTree.leaf(after.response)
    assert after.refusals == (Refusal(2, 16, "dependent"),)


def test_the_first_detail_of_a_thread_is_never_dependent() -> None:
    before = record(listing(*"abc"))
    assert merge_back(before, [9.0, 0.0, 0.0], 0.5) is before


def test_what_forks_inside_a_merged_detail_stays_unless_a_later_detail_needs_it() -> None:
    # Two parts, each with two parts of its own, and a third plain one.
    text = "A:a:11b:22 B:c:33d:44 C:55 D:66 E:77"
    forks = [(2, 10), (4, 6), (8, 10), (13, 21), (15, 17), (19, 21), (24, 26), (29, 31), (34, 36)]
    before = record(ParagraphTree.from_forks(text, forks))
    after = merge_back(before, [0, 0, 0, 0.9, 0, 0, 0, 0, 0], 0.5)
    assert after.tree.forks() == [(15, 17), (19, 21), (24, 26), (29, 31), (34, 36)]
    assert after.refusals == (Refusal(2, 21, "dependent"),)


def test_refusals_of_the_extraction_are_kept_in_order() -> None:
    early, late = Refusal(0, 1, "code"), Refusal(13, 15, "table")
    after = merge_back(record(listing(*"abcd"), (early, late)), [0, 0.9, 0, 0], 0.5)
    assert after.refusals == (early, Refusal(2, 8, "dependent"), late)


def test_numbers_that_are_not_as_many_as_the_forks_are_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        merge_back(record(listing(*"abc")), [0.0], 0.5)
