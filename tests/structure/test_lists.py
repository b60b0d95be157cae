"""Lists are what a person sees as lists, and each item has what stands under it."""

from __future__ import annotations

from apar.structure.criteria import DEFAULT_CONFIG
from apar.structure.lists import List, lists
from apar.structure.markdown import parse


def found(text: str) -> list[List]:
    return lists(text, parse(text), DEFAULT_CONFIG)


def cuts(text: str) -> list[tuple[str, str]]:
    """Lead and detail of each part of the only list."""
    (one,) = found(text)
    return [(text[part.start : part.lead_end], text[part.lead_end : part.end]) for part in one.parts]


def test_every_top_level_list_is_found_in_order() -> None:
    text = "- Red: a warm colour\n- Blue: a cool colour\n\nAnd then\n\n1. One: the first number\n"
    assert [(one.ordered, one.num_items) for one in found(text)] == [(False, 2), (True, 1)]


def test_a_year_at_the_start_of_a_line_is_no_item() -> None:
    assert found("1995. It grew quickly: sales doubled in a year.\n1996. It shrank: sales halved.") == []


def test_numbers_that_do_not_count_up_are_no_list() -> None:
    assert found("3. Three: is the first\n7. Seven: is the next\n8. Eight: is the last") == []


def test_a_list_may_begin_late_and_may_repeat_its_number() -> None:
    assert found("4. Four: is the first\n5. Five: is the next")[0].num_items == 2
    assert found("1. One: is the first\n1. One more: is the next")[0].num_items == 2


def test_paragraphs_without_indentation_belong_to_the_item_over_them() -> None:
    text = "1. Papers\n\nCheck the passport.\n\n2. Money\n\nTell the bank.\n\n3. Shoes\n\nWalk in them.\n\nThat is all."
    assert cuts(text) == [
        ("Papers", "\n\nCheck the passport."),
        ("Money", "\n\nTell the bank."),
        ("Shoes", "\n\nWalk in them."),
    ]


def test_bullets_without_indentation_belong_to_the_number_over_them() -> None:
    text = "1. Papers\n- passport\n- visa\n2. Money\n- cash\n- cards\n"
    assert cuts(text) == [("Papers", "\n- passport\n- visa"), ("Money", "\n- cash\n- cards")]


def test_a_title_between_two_items_stays_with_the_next() -> None:
    text = "1. Papers: check the passport\n2. Money: tell the bank\n\n**On the way**\n\n3. Shoes: walk in them"
    assert cuts(text)[1] == ("Money:", " tell the bank")


def test_a_remark_after_several_items_belongs_to_none() -> None:
    text = "1. Papers: check the passport\n2. Money: tell the bank\n\nNow the rest.\n\n3. Shoes: walk in them"
    assert cuts(text)[1] == ("Money:", " tell the bank")


def test_a_closing_line_without_indentation_is_cut_off_the_last_item() -> None:
    text = "- Red: a warm colour\n- Blue: a cool colour\nThese are two."
    assert cuts(text)[-1] == ("Blue:", " a cool colour")


def test_lines_without_indentation_stay_where_all_items_have_them() -> None:
    text = "- Red\nA warm colour.\n- Blue\nA cool colour."
    assert cuts(text) == [("Red", "\nA warm colour."), ("Blue", "\nA cool colour.")]


def test_items_of_the_same_lead_do_not_fork() -> None:
    text = "1. Premise: all men are mortal\n2. Premise: Socrates is a man\n3. Conclusion: Socrates is mortal"
    assert cuts(text) == [("Conclusion:", " Socrates is mortal")]


def test_an_item_whose_detail_is_short_does_not_fork() -> None:
    assert cuts("- Red: warm\n- Blue: a cool colour") == [("Blue:", " a cool colour")]


def test_a_detail_has_no_line_break_at_its_end() -> None:
    assert cuts("1. Red: a warm colour  \n\n\n2. Blue: a cool colour\n\n") == [
        ("Red:", " a warm colour"),
        ("Blue:", " a cool colour"),
    ]
