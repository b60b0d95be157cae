"""What is left out is what harms a model; good answers in any form stay."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apar.corpus.filters import FilterConfig, drop_reason, is_broken_markdown, is_refusal, is_truncated
from tests.corpus.answers import chat

DEFAULT = FilterConfig()
GOOD = (
    "42",
    "Paris",
    "Tea is made with hot water. It takes three minutes.",
    "Two kinds:\n\n- Black tea\n- Green tea",
    "Two kinds:\n\n1. Black tea is strong.\n2. Green tea is mild.",
    "Use this:\n\n```python\nprint(1)\n```",
    "Dear Ann,\n\nThank you for the tea. It was good.\n\nYours,\nBob",
    "The rose is red,\nThe violet blue,\nThe honey's sweet\nAnd so are you",
    "It was fun. See you 🎉",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "茶要用热水泡。三分钟就好。",
)
CUT = (
    "Tea is made with hot water. It takes three minutes and then the leaves are taken out of the",
    "Tea is old. In summary, we may say that it is",
    "Two kinds:\n\n1. Black tea is strong.\n2. Green tea is mild.\n3. White tea comes fr",
    "For the cake take flour, eggs, sugar,",
    "茶的历史很悠久。它起源于中国的南方地区，后来传到了日本和欧洲的许多国家和",
)


@pytest.mark.parametrize("text", GOOD)
def test_good_answers_stay(text: str) -> None:
    assert drop_reason(chat(text), FilterConfig(refusals=True)) is None


@pytest.mark.parametrize("text", CUT)
def test_answers_that_end_in_the_middle_are_told(text: str) -> None:
    assert drop_reason(chat(text), DEFAULT) == "truncated"
    assert drop_reason(chat(text), FilterConfig(truncated=False)) is None


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("```\ncode", True),
        ("```\ncode\n```", False),
        ("````md\n```\ncode\n````", False),
        ("~~~\n```\n~~~", False),
        ("```\n~~~", True),
        ("- Run\n  ```sh\n  ls\n  ```\n- Look", False),
        ("1. ```sh\n   ls\n   ```", False),
        ("```py\nx\n```py\n", True),
        ("```this``` is a span", False),
    ],
)
def test_a_fence_must_close(text: str, broken: bool) -> None:
    assert is_broken_markdown(text) is broken


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("I'm sorry, but I can't assist with that.", True),
        ("As an AI language model, I cannot have opinions.", True),
        ("很抱歉，我无法回答这个问题。", True),
        ("I'm sorry to hear that you are ill. Rest and drink tea.", False),
        ("As an AI, I don't have a home town. However, here are five of them.", False),
        ("I cannot taste, but for tea:\n1. Black\n2. Green", False),
        ("I'm sorry, but I cannot say. " + "Tea is good. " * 40, False),
    ],
)
def test_a_refusal_is_an_answer_that_is_nothing_else(text: str, refusal: bool) -> None:
    assert is_refusal(text) is refusal
    assert drop_reason(chat(text), DEFAULT) is None
    assert (drop_reason(chat(text), FilterConfig(refusals=True)) == "refusal") is refusal


def test_each_limit_has_a_name() -> None:
    assert drop_reason(chat(" \n"), DEFAULT) == "empty"
    assert drop_reason(chat("Yes."), FilterConfig(min_chars=5)) == "too_short"
    assert drop_reason(chat("Yes."), FilterConfig(max_chars=3)) == "too_long"
    assert drop_reason(chat("So it is \ufffd."), DEFAULT) == "garbled"
    assert drop_reason(chat("So it is \ufffd."), FilterConfig(garbled=False)) is None
    assert drop_reason(chat("Yes."), FilterConfig(skip_sources=("r", "s"))) == "source"
    assert drop_reason(chat("Yes."), FilterConfig(skip_sources=("S",))) is None


def test_the_language_of_the_record_counts_before_the_text() -> None:
    english = "Tea is made with hot water, and it takes three minutes."
    wanted = FilterConfig(languages=("zh",))
    assert drop_reason(chat(english), wanted) == "language"
    assert drop_reason(chat(english, lang="zh"), wanted) is None
    assert drop_reason(chat("```\nx = 1\n```"), wanted) is None


@given(st.text())
def test_any_text_is_judged(text: str) -> None:
    drop_reason(chat(text), FilterConfig(refusals=True))
    if text.strip():
        is_truncated(text.strip())


def test_what_the_data_mark_as_bad_is_left_out_unless_it_is_wanted() -> None:
    bad = replace(chat("Tea."), marked_bad=True)
    assert drop_reason(bad, DEFAULT) == "marked_bad"
    assert drop_reason(bad, FilterConfig(marked_bad=False)) is None
