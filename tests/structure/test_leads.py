"""A lead ends at the colon, dash, line or sentence that closes it, and at no other punctuation."""

from __future__ import annotations

import pytest

from apar.structure.config import DEFAULT as DEFAULT_CONFIG
from apar.structure.leads import is_title, item_lead, label_end, paragraph_lead


def lead_of(item: str, below: int = 0) -> str | None:
    end = item_lead(item, below, DEFAULT_CONFIG)
    return None if end is None else item[:end]


@pytest.mark.parametrize(
    ("item", "lead"),
    [
        ("Plan ahead: write down what you need.", "Plan ahead:"),
        ("**Plan:** write down what you need.", "**Plan:**"),
        ("**Plan**: write down what you need.", "**Plan**:"),
        ("**Plan** (two days): write down what you need.", "**Plan** (two days):"),
        ("*Plan* – write down what you need.", "*Plan* –"),
        ("**Red Rising** by Pierce Brown - a series.", "**Red Rising** by Pierce Brown -"),
        ("**Spotify** is a service for music.", "**Spotify**"),
        ("Netflix - offers films. It is large.", "Netflix -"),
        ('"The Act" (2012): a film of its own kind.', '"The Act" (2012):'),
        ("Get up at 10:30: no later.", "Get up at 10:30:"),
        ("Mix 2:1 with water: stir well.", "Mix 2:1 with water:"),
        ("Use `key: value` pairs: they are clear.", "Use `key: value` pairs:"),
        ("The U.S. economy: it grew in that year.", "The U.S. economy:"),
        ("Arrival\n   You land at noon and take the train.", "Arrival"),
        ("Rest well on the first day. Walk on the second.", "Rest well on the first day."),
    ],
)
def test_an_items_lead(item: str, lead: str) -> None:
    assert lead_of(item) == lead


@pytest.mark.parametrize(
    "item",
    [
        "Morning 10:30 Meet",
        "Meet at 10:30 or 11:15",
        "The U.S. economy grew by 3.5 percent",
        "Use fruit, e.g. this: that, and the other",
        "Take what you need, including: bread and salt",
        "See https://a.b/c: d",
        "Call `f(x): y` once",
        "It takes 10 - 20 minutes",
        "The cat – a tabby – sat there",
        "Founded in 1995 by two brothers",
        "Step 2 - go on",
        "**m**ark and **q**uit",
        "",
        ": nothing before it",
    ],
)
def test_an_item_without_a_lead(item: str) -> None:
    assert lead_of(item) is None


def test_a_colon_behind_the_first_sentence_closes_no_lead() -> None:
    assert lead_of("It was founded in 1995. It grew quickly: sales doubled.") == "It was founded in 1995."


def test_a_line_over_nested_blocks_is_a_lead() -> None:
    assert lead_of("Set up the page", below=40) == "Set up the page"
    assert lead_of("Set up the page") is None


def test_wrapped_text_is_no_title_line() -> None:
    item = "This first line is plain text that was wrapped by an editor at about eighty\n   columns"
    assert lead_of(item) is None


def test_a_colon_too_far_in_closes_no_lead() -> None:
    assert lead_of("word " * 30 + "here: text") is None


def paragraph_lead_of(paragraph: str, labelled: bool = False) -> str | None:
    end = paragraph_lead(paragraph, labelled, DEFAULT_CONFIG)
    return None if end is None else paragraph[:end]


def test_a_paragraphs_lead_is_its_first_sentence() -> None:
    paragraph = "Note: bring enough water. It is hot there, and there is no shade."
    assert paragraph_lead_of(paragraph) == "Note: bring enough water."


def test_a_bold_phrase_with_a_colon_or_a_title_line_leads_a_paragraph() -> None:
    assert paragraph_lead_of("**Cost:** it is not cheap at all.") == "**Cost:**"
    assert paragraph_lead_of("Day 1: Arrival in Rome\nTake the train to the centre.") == "Day 1: Arrival in Rome"


def test_a_label_leads_only_where_the_answer_has_labels_throughout() -> None:
    paragraph = "Cost: it is not cheap, and it never was."
    assert paragraph_lead_of(paragraph, labelled=True) == "Cost:"
    assert paragraph_lead_of(paragraph, labelled=False) is None


def test_a_sentence_longer_than_twice_its_detail_is_a_poor_trade() -> None:
    assert paragraph_lead_of("This sentence takes quite a number of words. So it does.") is None


@pytest.mark.parametrize("paragraph", ["Step 2: go on", "P1: text", "Note: text", "no capital: text", "Label:x", "A"])
def test_no_label(paragraph: str) -> None:
    assert label_end(paragraph) is None


@pytest.mark.parametrize(
    ("line", "title"),
    [("Climate impacts", True), ("**Cost:**", True), ("A sentence.", False), ("lower case", False), (" ", False)],
)
def test_titles_are_short_capitalised_lines(line: str, title: bool) -> None:
    assert is_title(line) is title
