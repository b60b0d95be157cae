"""What counts as a lead that is said again."""

from __future__ import annotations

import pytest

from apar.decoding.leads import Leads


def after(*nodes: str) -> Leads:
    """The leads of a thread that has forked behind each of these nodes."""
    leads = Leads()
    for node in nodes:
        leads.say(node)
        leads.fork()
    return leads


def held(leads: Leads, node: str) -> str:
    """As much of a node, said character by character, as could still have become an earlier lead."""
    for end, character in enumerate(node):
        leads.say(character)
        if not leads.may_repeat:
            return node[:end]
    return node


@pytest.mark.parametrize(
    ("lead", "again"),
    [
        ("1. Better sleep:", "\n\n13. Better sleep:"),
        ("1. Better sleep:", "\n2) **better  Sleep**"),
        ("- *Better sleep*:", "\n- Better sleep."),
        ("Here are some:\n\n1. Better sleep:", "\n\n2. Better sleep:"),
        ("**1. Straße:**", "\n(2) STRASSE -"),
        ("10 minutes:", "10 minutes:"),
    ],
)
def test_number_bullet_emphasis_space_case_and_punctuation_do_not_count(lead: str, again: str) -> None:
    leads = after(lead)
    assert held(leads, again) == again
    assert leads.repeats


@pytest.mark.parametrize(
    ("lead", "other", "beginning"),
    [
        ("1. Better sleep:", "\n\n2. Better skin:", "\n\n2. Better s"),
        ("1. Better sleep:", "\n2. Better sleep habits:", "\n2. Better sleep "),
        ("- 5 minutes:", "\n- 10 minutes:", "\n- 10"),
        ("1. 1.5 litres:", "\n2. 2.5 litres:", "\n2. "),
        ("1. Rest:", "\n1984: Rest:", "\n198"),
        ("1. Rest:", "\nWeek two:\n1. Rest:", "\n"),
        ("Rest", "Rest\nand more", "Rest\n"),
    ],
)
def test_another_lead_is_known_at_its_first_other_character(lead: str, other: str, beginning: str) -> None:
    leads = after(lead)
    assert held(leads, other) == beginning
    assert not leads.repeats


def test_the_beginning_of_a_lead_is_none_and_may_become_one() -> None:
    leads = after("1. Better sleep:")
    leads.say("\n2. Better")
    assert leads.may_repeat
    assert not leads.repeats


def test_a_node_with_lines_before_its_lead_begins_another_list() -> None:
    leads = after("1. Monday:", "\nWeek two:\n1. Monday:")
    assert held(leads, "\n2. Monday") == "\n2. Monday"
    assert leads.repeats
    assert not held(after("1. Monday:", "\nWeek two:\n1. Tuesday:"), "\n2. Monday").endswith("Monday")


def test_a_first_lead_is_never_held_and_one_without_words_never_repeats() -> None:
    assert held(Leads(), "1. Rest") == ""
    assert held(after("1. "), "\n2. ") == ""
    leads = after("1. Rest", "\n2. ")
    leads.say("\n3. ")
    assert leads.may_repeat
    assert not leads.repeats
