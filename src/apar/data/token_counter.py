"""Counting tokens: by a tokenizer, or by words and punctuation where none is given."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apar.errors import UserError
from apar.extras import require
from apar.tokens import TextCodec, joining

# Chinese, Japanese and Korean write no spaces between words: each character counts.
_CJK = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_WORD_OR_MARK = re.compile(rf"[^\W{_CJK}]+|[^\s\w]|[{_CJK}]")

# Each ASCII character as the kind it is of: part of a word, space, or mark.
_ASCII_KINDS = bytes(
    ord("." if _WORD_OR_MARK.match(sign) and not re.match(r"\w", sign) else " " if sign.isspace() else "w")
    for sign in map(chr, range(256))
)


@dataclass(frozen=True, slots=True)
class TokenCounter:
    """`count` gives the number of tokens of a text; `name` says by what, for reports."""

    name: str
    count: Callable[[str], int]


def word_counter() -> TokenCounter:
    """An approximation that needs no tokenizer: every word, punctuation mark and Chinese character is a token."""
    return TokenCounter("words and punctuation", _count_words)


def _count_words(text: str) -> int:
    if not text.isascii():
        return len(_WORD_OR_MARK.findall(text))
    # The same without regular expressions, twenty times as fast: it is done for every answer.
    kinds = text.encode().translate(_ASCII_KINDS)
    return kinds.count(b".") + len(kinds.replace(b".", b" ").split())


def load_counter(path: Path) -> TokenCounter:
    """A counter by the codec that `load_codec` finds; raises UserError as it does."""
    codec = load_codec(path)
    return TokenCounter(codec.name, lambda text: len(codec.encode(text)))


def load_codec(path: Path) -> TextCodec:
    """The codec of a SentencePiece `.model`, a `tokenizer.json`, or a model folder that holds one of them.

    It has no chat template. Raises UserError where there is none, it cannot be read, or the package it needs is
    missing.
    """
    file = _tokenizer_file(path)
    try:
        return _sentencepiece_codec(file) if file.suffix == ".model" else _fast_codec(file)
    except UserError:
        raise
    except Exception as error:  # both libraries raise bare exceptions of their own
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"{file} cannot be read as a tokenizer: {reason}") from error


def _tokenizer_file(path: Path) -> Path:
    candidates = [path / "tokenizer.json", path / "tokenizer.model"] if path.is_dir() else [path]
    file = next((candidate for candidate in candidates if candidate.is_file()), None)
    if file is None:
        wanted = "a tokenizer.json or tokenizer.model in it" if path.is_dir() else "such a file"
        raise UserError(f"no tokenizer at {path}: there is not {wanted}")
    return file


def _fast_codec(file: Path) -> TextCodec:
    require("local", "tokenizers")
    from tokenizers import Tokenizer

    tokenizer: Any = Tokenizer.from_file(str(file))
    tokenizer.encode_special_tokens = True  # the text `[Fork]` in an answer is text
    encode = joining(lambda text: list(tokenizer.encode(text, add_special_tokens=False).ids), tokenizer.decode)
    return TextCodec(str(file), encode, tokenizer.decode)


def _sentencepiece_codec(file: Path) -> TextCodec:
    require("sentencepiece", "sentencepiece")
    from sentencepiece import SentencePieceProcessor

    processor: Any = SentencePieceProcessor(model_file=str(file))
    return TextCodec(str(file), joining(lambda text: list(processor.encode(text)), processor.decode), processor.decode)
