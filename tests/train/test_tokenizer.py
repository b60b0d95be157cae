"""The tokenizer of models trained from scratch: lossless on any text, digits alone, a chat template."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apar.tokens import add_control_tokens, encode_prompt, encode_text
from apar.train.tokenizer import END, train_tokenizer

TOKENIZER: Any = train_tokenizer(["The cat sat on 12 mats.\n\n1. A mat: soft.\n2. A cat: warm."] * 3, vocab_size=300)
add_control_tokens(TOKENIZER)


@given(st.text())
def test_decoding_gives_any_text_back(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate is no text
        return
    assert TOKENIZER.decode(encode_text(TOKENIZER, text), clean_up_tokenization_spaces=False) == text


@pytest.mark.parametrize("literal", ["[Fork]", "[Child]", END, "<|user|>"])
def test_the_literal_text_of_a_special_token_is_ordinary_text(literal: str) -> None:
    special = set(TOKENIZER.get_added_vocab().values())
    assert not special & set(encode_text(TOKENIZER, f"a {literal} b"))


def test_digits_stand_alone() -> None:
    pieces = TOKENIZER.convert_ids_to_tokens(encode_text(TOKENIZER, "in 1995"))
    assert pieces[-4:] == ["1", "9", "9", "5"]


def test_a_chat_ends_where_the_assistant_answers() -> None:
    ids = encode_prompt(TOKENIZER, [{"role": "user", "content": "hi"}])
    text = TOKENIZER.decode(ids)
    assert text == "<|user|>hi<|end|><|assistant|>"
