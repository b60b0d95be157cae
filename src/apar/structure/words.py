"""The words of a lead, in any script.

A word is a run of letters and digits with the marks on them; an apostrophe or a hyphen inside belongs to it. Chinese
and Japanese put no spaces between words: there each character counts.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

_ALONE = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002ffff"
_RUN = re.compile(rf"(?P<alone>[{_ALONE}])|[^\W_{_ALONE}]+")
# What a word goes on over. Nothing at all lies between two runs where marks do, as in Hindi.
_INSIDE = frozenset(("", "'", "’", "-", "\u2010", "\u2011"))
_LIST_NUMBER = re.compile(r"\W*\d{1,3}[.)、．:：](?!\d)")


def word_spans(text: str) -> list[tuple[int, int]]:
    """Where each word begins and ends."""
    spans: list[tuple[int, int]] = []
    open_end = False  # whether the last word may go on
    for run in _RUN.finditer(text):
        alone = run["alone"] is not None
        start, end = run.start(), _after_marks(text, run.end())
        if open_end and not alone and text[spans[-1][1] : start] in _INSIDE:
            start = spans.pop()[0]
        spans.append((start, end))
        open_end = not alone
    return spans


def lead_words(lead: str) -> list[tuple[int, int]]:
    """The words of a lead without the number that opens it ("2. Rest")."""
    number = _LIST_NUMBER.match(lead)
    least = number.end() if number else 0
    return [span for span in word_spans(lead) if span[0] >= least]


def said(lead: str) -> tuple[str, ...]:
    """What a lead says: its words, whatever their case, without number, punctuation and emphasis."""
    return tuple(lead[start:end].casefold() for start, end in lead_words(lead))


def count_repeated(leads: Iterable[str]) -> int:
    """How many leads say, word for word, what one before them said; leads without words are left aside."""
    times = Counter(filter(None, map(said, leads)))
    return sum(times.values()) - len(times)


def _after_marks(text: str, at: int) -> int:
    while at < len(text) and text[at] > "\x7f" and unicodedata.category(text[at]).startswith("M"):
        at += 1
    return at
