"""Tokens beside log probabilities: their text, and their bytes even where they are no whole character."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from apar.models.model_source import load_tokenizer, model_source
from apar.server.token_text import TokenTexts
from tests.fixtures import TINY


@pytest.mark.parametrize("text", ["Two words.", "naïve 中文 😀 text", "\n\n  indented\t", "\x00\x7f é"])
def test_the_bytes_of_a_texts_tokens_are_those_of_the_text(text: str) -> None:
    tokenizer = load_tokenizer(model_source(TINY))
    texts = TokenTexts(tokenizer)
    told = [texts.of(token) for token in tokenizer.encode(text, add_special_tokens=False)]
    assert bytes(byte for _, data in told for byte in data) == text.encode()
    assert all(piece.encode() == bytes(data) for piece, data in told if "\\x" not in piece)


def test_a_piece_of_a_character_is_written_by_its_bytes() -> None:
    tokenizer = load_tokenizer(model_source(TINY))
    texts = TokenTexts(tokenizer)
    told = [texts.of(token)[0] for token in tokenizer.encode("😀", add_special_tokens=False)]
    assert len(told) > 1
    assert "".join(told) == r"\xf0\x9f\x98\x80"


def test_the_space_that_sentencepiece_leaves_out_is_there() -> None:
    vocabulary = {"<unk>": 0, "▁the": 1, "sea": 2, "<0x0A>": 3, "<0xE4>": 4}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, "<unk>"))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    texts = TokenTexts(PreTrainedTokenizerFast(tokenizer_object=tokenizer))
    assert texts.of(1) == (" the", tuple(b" the"))
    assert texts.of(2) == ("sea", tuple(b"sea"))
    assert texts.of(3) == ("\n", (10,))
    assert texts.of(4) == (r"\xe4", (0xE4,))
