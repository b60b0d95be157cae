"""The first sentence ends where a careful reader would end it, or nowhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apar.structure.sentences import first_sentence_end
from tests.structure.texts import markdown_like


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("It rains. Take a coat.", "It rains."),
        ("The U.S. economy grew by 3.5 percent. Then it shrank.", "The U.S. economy grew by 3.5 percent."),
        ("Dr. Smith came, e.g. on Monday. He left.", "Dr. Smith came, e.g. on Monday."),
        ("We meet at 10 a.m. on Friday. Be there.", "We meet at 10 a.m. on Friday."),
        ('She said "stop." Then she left.', 'She said "stop."'),
        ("**Do not wait.** Go now.", "**Do not wait.**"),
        ("Is it so? Yes, it is.", "Is it so?"),
        ("J. K. Rowling wrote it. Many read it.", "J. K. Rowling wrote it."),
        ("One\u2028line. Two lines.", "One\u2028line."),
    ],
)
def test_the_first_sentence_ends_at_its_full_stop(text: str, first: str) -> None:
    end = first_sentence_end(text)
    assert end is not None
    assert text[:end] == first


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "One sentence only.",
        "No stop at all",
        "Visit a.b.c or 3.5",
        "It went on and on... and on",
        "Nos. 1.",
        "It weighs approx. so much",
    ],
)
def test_a_text_of_one_sentence_has_no_end_of_the_first(text: str) -> None:
    assert first_sentence_end(text) is None


def test_a_sentence_too_short_is_joined_with_the_next() -> None:
    text = "Yes! I agree with you. Let us go."
    assert first_sentence_end(text, at_least=10) == len("Yes! I agree with you.")


@given(st.one_of(st.text(st.characters()), markdown_like()))
def test_the_end_is_before_white_space_and_more_text_follows(text: str) -> None:
    end = first_sentence_end(text)
    if end is not None:
        assert text[:end].strip()
        assert text[end].isspace() or text[:end].rstrip("*_\"'”’」』）)]")[-1] in "。！？"
        assert text[end:].strip()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("北京是首都。它很大。", "北京是首都。"),
        ("价格是3.5元！很便宜。", "价格是3.5元！"),
        ("“我去过。”他说。然后他走了。", "“我去过。”他说。"),
    ],
)
def test_chinese_sentences_end_without_white_space(text: str, sentence: str) -> None:
    assert text[: first_sentence_end(text)] == sentence
