"""Answers that are the same, or nearly, as one before."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from itertools import islice
from typing import Literal, NamedTuple

import rensa
from pydantic import Field

from apar.config import Section
from apar.data.formats import Chat
from apar.structure.script import is_cjk

_WORD = re.compile(r"\w+")
_WORDS_A_SHINGLE = 3
_CJK_CHARACTERS_A_SHINGLE = 5
_PERMUTATIONS = 64
_BANDS = 16
_ROWS = _PERMUTATIONS // _BANDS
# Of texts as short as this, a word or two that differ may be all that matters.
_FEWEST_SHINGLES = 20


class DuplicateConfig(Section):
    """Which answers are taken to be the same as one before.

    Compared are the question and the answer together: the same question answered otherwise is no duplicate.
    """

    exact: bool = True
    """The same words in question and answer; case, punctuation and white space do not count."""
    near: float | None = Field(default=0.85, gt=0, le=1)
    """The share of common shingles (three words, or five CJK characters) from which on texts are the same,
    estimated by MinHash; null looks for none. It takes about 1.5 KB of memory an answer."""


class Signature(NamedTuple):
    """What is compared of an answer: a hash of its words, and the MinHash of its shingles if there are enough."""

    words: int
    shingles: tuple[int, ...]


def signature(chat: Chat, config: DuplicateConfig) -> Signature:
    """The signature of an answer and its question."""
    text = f"{chat.messages[-1]['content'] if chat.messages else ''} {chat.response}".lower()
    words = _WORD.findall(text)
    digest = hashlib.blake2b(" ".join(words).encode("utf-8", "replace"), digest_size=8).digest()
    shingles = list(_shingles(text, words)) if config.near is not None else []
    if len(shingles) < _FEWEST_SHINGLES:
        return Signature(int.from_bytes(digest, "big"), ())
    sketch = rensa.RMinHash(num_perm=_PERMUTATIONS, seed=1)
    sketch.update(shingles)
    return Signature(int.from_bytes(digest, "big"), tuple(sketch.digest()))


def _shingles(text: str, words: list[str]) -> Iterator[str]:
    if is_cjk(text):
        joined = "".join(words)
        size = _CJK_CHARACTERS_A_SHINGLE
        return (joined[k : k + size] for k in range(len(joined) - size + 1))
    return map(" ".join, zip(*(islice(words, k, None) for k in range(_WORDS_A_SHINGLE)), strict=False))


class Seen:
    """The answers so far, by signature."""

    def __init__(self, config: DuplicateConfig) -> None:
        self._config = config
        self._words: set[int] = set()
        self._bands: dict[int, int] = {}
        self._sketches: list[tuple[int, ...]] = []

    def is_duplicate(self, one: Signature) -> Literal["duplicate", "near_duplicate"] | None:
        """Whether an answer like this came before; if not, it is remembered."""
        if self._config.exact:
            if one.words in self._words:
                return "duplicate"
            self._words.add(one.words)
        if self._config.near is None or not one.shingles:
            return None
        bands = [hash((k, one.shingles[k : k + _ROWS])) for k in range(0, _PERMUTATIONS, _ROWS)]
        candidates = {self._bands[band] for band in bands if band in self._bands}
        if any(_similarity(one.shingles, self._sketches[other]) >= self._config.near for other in candidates):
            return "near_duplicate"
        for band in bands:
            self._bands.setdefault(band, len(self._sketches))
        self._sketches.append(one.shingles)
        return None


def _similarity(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    return sum(a == b for a, b in zip(one, other, strict=True)) / _PERMUTATIONS
