"""Words are told in any script, and leads are compared by them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apar.structure.words import count_repeated, said, word_spans


def words(text: str) -> list[str]:
    return [text[start:end] for start, end in word_spans(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("**Don't** over-water: it's bad", ["Don't", "over-water", "it's", "bad"]),
        ("snake_case, 10:30 - and/or", ["snake", "case", "10", "30", "and", "or"]),
        ("पानी की बचत", ["पानी", "की", "बचत"]),
        ("e\u0301te\u0301 a\u0300 Paris", ["e\u0301te\u0301", "a\u0300", "Paris"]),
        ("早睡early早", ["早", "睡", "early", "早"]),
        ("물을 아껴 쓰기", ["물을", "아껴", "쓰기"]),
        ("Вода и свет", ["Вода", "и", "свет"]),
        ("– : 🎉", []),
    ],
)
def test_words_of_any_script(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize("lead", ["Stay healthy", "4. **Stay Healthy:**", "12) stay healthy -", "*STAY* healthy."])
def test_a_lead_says_its_words_without_number_case_and_emphasis(lead: str) -> None:
    assert said(lead) == ("stay", "healthy")


def test_a_number_that_is_no_list_number_is_a_word() -> None:
    assert said("3 ways to rest:") == ("3", "ways", "to", "rest")
    assert said("1.5 litres:") == ("1", "5", "litres")


def test_leads_that_say_the_same_are_counted_after_the_first() -> None:
    assert count_repeated(["Rest:", "Walk:", "2. *rest* –", "REST.", "Rest well:"]) == 2
    assert count_repeated(["–", "–", ":"]) == 0


@given(st.text())
def test_words_lie_in_order_apart_and_are_no_space(text: str) -> None:
    spans = word_spans(text)
    assert all(start < end for start, end in spans)
    assert all(one[1] <= other[0] for one, other in pairwise(spans))
    assert not any(any(map(str.isspace, text[start:end])) for start, end in spans)
