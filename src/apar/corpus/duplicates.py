"""Answers that are the same, or nearly, as one before."""

from __future__ import annotations

import hashlib
import re
import struct
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Literal, NamedTuple

import rensa
from pydantic import Field

from apar.config import Section
from apar.data.formats import Chat
from apar.structure.cjk import is_cjk

_WORD = re.compile(r"\w+")
_WORDS_A_SHINGLE = 3
_CJK_CHARACTERS_A_SHINGLE = 5
_PERMUTATIONS = 64
_BANDS = 16
_ROWS = _PERMUTATIONS // _BANDS
_SKETCH = struct.Struct(f"<{_PERMUTATIONS}I")
# Of texts as short as this, a word or two that differ may be all that matters.
_FEWEST_SHINGLES = 20


class DuplicateConfig(Section):
    """Which answers are taken to be the same as one before."""

    exact: bool = True
    """The same messages and the same answer; case and white space do not count."""
    ids: bool = True
    """The same `id` in the same file; ids that the data do not give are never the same."""
    near: float | None = Field(default=0.85, gt=0, le=1)
    """The share of common shingles (three words, or five CJK characters) from which on two answers are the same,
    whatever was asked, estimated by MinHash; null looks for none. Answers of fewer than 20 shingles are not
    compared. It takes about 2.3 KB of memory an answer."""
    answers_per_prompt: int | None = Field(default=None, ge=1)
    """How many answers to the same messages are kept at most, the first ones or those of `choice`; null keeps all."""


class Signature(NamedTuple):
    """What is compared of an answer."""

    prompt: int
    """A hash of the messages."""
    whole: int
    """A hash of the messages and the answer."""
    sketch: bytes
    """The MinHash of the answer's shingles; empty where there are too few."""
    identity: int | None = None
    """A hash of the answer's id and file; None where the data give no id."""


def signature(chat: Chat, config: DuplicateConfig) -> Signature:
    """The signature of an answer and of what was asked."""
    prompt = "\0".join(_normal(message["content"]) for message in chat.messages)
    sketch = b"" if config.near is None else _sketch(chat.response.lower())
    identity = _digest(f"{chat.location.file}\0{chat.id}") if chat.named else None
    return Signature(_digest(prompt), _digest(f"{prompt}\0{_normal(chat.response)}"), sketch, identity)


def _normal(text: str) -> str:
    return " ".join(text.lower().split())


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big")


def _sketch(text: str) -> bytes:
    shingles = list(_shingles(text, _WORD.findall(text)))
    if len(shingles) < _FEWEST_SHINGLES:
        return b""
    sketch = rensa.RMinHash(num_perm=_PERMUTATIONS, seed=1)
    sketch.update(shingles)
    return _SKETCH.pack(*sketch.digest())


def _shingles(text: str, words: list[str]) -> Iterator[str]:
    if is_cjk(text):
        joined = "".join(words)
        size = _CJK_CHARACTERS_A_SHINGLE
        return (joined[k : k + size] for k in range(len(joined) - size + 1))
    return map(" ".join, zip(*(islice(words, k, None) for k in range(_WORDS_A_SHINGLE)), strict=False))


DropAsSeen = Literal["duplicate", "near_duplicate", "answers_per_prompt", "same_id"]
"""Why an answer is left out for those before it."""


class Seen:
    """The answers so far, by signature."""

    def __init__(self, config: DuplicateConfig) -> None:
        self._config = config
        self._wholes: set[int] = set()
        self._identities: set[int] = set()
        self._answers: Counter[int] = Counter()
        self._bands: dict[int, int] = {}
        self._sketches: list[bytes] = []

    def drop_reason(self, signature: Signature) -> DropAsSeen | None:
        """Whether an answer like this came before, or enough to its prompt; if not, it is remembered."""
        if self._config.exact:
            if signature.whole in self._wholes:
                return "duplicate"
            self._wholes.add(signature.whole)
        if self._config.ids and signature.identity is not None:
            if signature.identity in self._identities:
                return "same_id"
            self._identities.add(signature.identity)
        values = _SKETCH.unpack(signature.sketch) if self._config.near is not None and signature.sketch else ()
        bands = [hash((k, values[k : k + _ROWS])) for k in range(0, len(values), _ROWS)]
        candidates = {self._bands[band] for band in bands if band in self._bands}
        if any(_similarity(values, self._sketches[other]) >= (self._config.near or 1) for other in candidates):
            return "near_duplicate"
        if self._config.answers_per_prompt is not None:
            if self._answers[signature.prompt] >= self._config.answers_per_prompt:
                return "answers_per_prompt"
            self._answers[signature.prompt] += 1
        for band in bands:
            self._bands.setdefault(band, len(self._sketches))
        if values:
            self._sketches.append(signature.sketch)
        return None


def _similarity(values: tuple[int, ...], sketch: bytes) -> float:
    """The share of common shingles, estimated; its standard error is 0.045 at 0.85."""
    common: int = sum(a == b for a, b in zip(values, _SKETCH.unpack(sketch), strict=True))
    return common / _PERMUTATIONS
