"""Tokens are counted by a tokenizer of any of the usual files, or by words."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apar.data.token_counter import load_counter, word_counter
from apar.errors import UserError


def word_level_file(folder: Path) -> Path:
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "b": 1, "?": 2}, unk_token="?"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    path = folder / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def test_words_and_marks_are_counted_without_a_tokenizer() -> None:
    counter = word_counter()
    assert counter.name == "words and punctuation"
    assert counter.count("It's 10:30, isn't it?\n") == 12
    assert counter.count(" \n") == 0


def test_chinese_characters_are_counted_one_by_one() -> None:
    assert word_counter().count("学习 Python3 很有用。") == 7


@given(st.text(st.characters(max_codepoint=127)))
def test_plain_text_is_counted_as_any_other(text: str) -> None:
    count = word_counter().count
    assert count(text) == count(text + "é") - (0 if re.search(r"\w\Z", text) else 1)


def test_a_tokenizer_file_and_its_folder_count_alike(tmp_path: Path) -> None:
    file = word_level_file(tmp_path)
    assert load_counter(file).count("a b  zzz") == 3
    assert load_counter(tmp_path).count("a b  zzz") == 3
    assert load_counter(tmp_path).name == str(file)


def test_sentencepiece_counts_no_space_before_a_node(tmp_path: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    text = tmp_path / "text.txt"
    text.write_text("the lamp is on\nthe lens is in the lamp\n" * 50)
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(tmp_path / "small"), vocab_size=300, model_type="bpe",
        byte_fallback=True, hard_vocab_limit=False, minloglevel=2, normalization_rule_name="identity",
        remove_extra_whitespaces=False,
    )  # fmt: skip
    counter = load_counter(tmp_path / "small.model")
    parts = ["the lamp", " is on", "\nthe lens"]
    assert sum(map(counter.count, parts)) == counter.count("".join(parts))
    assert counter.count("") == 0


@pytest.mark.parametrize("name", ["tokenizer.json", "broken.model"])
def test_a_file_that_is_no_tokenizer_is_the_users_mistake(tmp_path: Path, name: str) -> None:
    pytest.importorskip("tokenizers" if name.endswith("json") else "sentencepiece")
    path = tmp_path / name
    path.write_text(json.dumps(["no tokenizer"]))
    with pytest.raises(UserError, match="cannot be read as a tokenizer"):
        load_counter(path)


def test_a_missing_tokenizer_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not a tokenizer\.json or tokenizer\.model in it"):
        load_counter(tmp_path)
    with pytest.raises(UserError, match="no tokenizer at"):
        load_counter(tmp_path / "missing.json")


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apar.extras.importlib.util.find_spec", lambda _: None)
    (tmp_path / "tokenizer.model").write_bytes(b"")
    with pytest.raises(UserError, match=r"pip install 'apar-llm\[sentencepiece\]'"):
        load_counter(tmp_path)
