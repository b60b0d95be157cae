"""Leads: how much of an item or a paragraph is its headline, on which the next one may build.

All functions take the text of one part and return the offset where its lead ends, or None. What must not be
read as punctuation (code, addresses, times, parentheses) is first masked by as many letters, so that every
offset in the masked text is one in the text.
"""

from __future__ import annotations

import re

from apar.data.criteria import ExtractConfig
from apar.data.sentences import first_sentence_end

_OPAQUE = re.compile(
    r"(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`)"  # code spans
    r"|\b(?:https?://|www\.)\S+"  # addresses, with whatever is glued to them
    r"|\d+(?:[:.]\d+)+"  # times, ratios, verses, versions
    r"|\([^()\n]*\)"  # what stands in parentheses
)
_QUOTED = re.compile(r"\"[^\"\n]*\"|“[^”\n]*”")
_EMPHASIS = re.compile(r"(?P<mark>\*{1,3}|_{1,3})(?=[^\s*_])[^\n]*?(?<![\s*_])(?P=mark)(?![*_\w])")
# What may stand between an opening phrase in bold and the colon or dash that closes the lead.
_AFTER_EMPHASIS = re.compile(r"(?:[ \t]*\([^()\n]*\))?(?:[ \t]*:(?=\s|$)|[ \t]+[-–—]+(?=\s))")
_COLON = re.compile(r":(?P<closing>[*_\"'”’]*)(?=\s|$)")
_DASH = re.compile(r"(?<=\s)(?:-{1,2}|–|—)(?=\s)")
# A colon after these opens an enumeration or an example inside the sentence; it closes no headline.
_OPENS_EXAMPLE = re.compile(
    r"\b(?:e\.g\.|i\.e\.|for example|for instance|such as|includ(?:e|es|ing)|(?:as|the) follow(?:s|ing))\b",
    re.I,
)
_NUMBERED_LABEL = re.compile(r"^\W*\w+ \d+\W*$")


def item_lead(text: str, below: int, config: ExtractConfig) -> int | None:
    """Where the lead of a list item ends.

    `text` is its first paragraph, `below` how many characters of blocks are under it.

    In this order: an opening phrase in bold or italics with the colon after it; up to a colon or a spaced
    dash; a first line that others follow; the first sentence.
    """
    window = text[: 4 * config.max_sentence_chars]
    masked = _mask(window)
    return (
        _emphasised_lead(window, masked, config)
        or _punctuated_lead(masked, config)
        or _line_lead(text, below, config)
        or _sentence_lead(masked, len(text) + below, config)
    )


def paragraph_lead(text: str, config: ExtractConfig) -> int | None:
    """Where the lead of a paragraph ends: a bold phrase that a colon closes, or the first sentence."""
    masked = _mask(text[: 4 * config.max_sentence_chars])
    bold = _emphasised_lead(text, masked, config)
    if bold is not None and masked[:bold].rstrip("*_").endswith(":"):
        return bold
    return _sentence_lead(masked, len(text), config)


def _mask(text: str) -> str:
    return _OPAQUE.sub(lambda match: "x" * len(match.group()), text)


def _emphasised_lead(text: str, masked: str, config: ExtractConfig) -> int | None:
    phrase = _EMPHASIS.match(masked)
    if phrase is None or phrase.end() > config.max_lead_chars:
        return None
    after = _AFTER_EMPHASIS.match(text, phrase.end())
    return after.end() if after else phrase.end()


def _punctuated_lead(masked: str, config: ExtractConfig) -> int | None:
    line = masked.split("\n", 1)[0]
    line = _QUOTED.sub(lambda match: "x" * len(match.group()), line)[: config.max_lead_chars + 2]
    line = line[: first_sentence_end(line)]
    ends = [
        end for end in (_dash_end(line), _colon_end(line)) if end is not None and end <= config.max_lead_chars
    ]
    return min(ends, default=None)


def _colon_end(line: str) -> int | None:
    colon = _COLON.search(line)
    if colon is None or colon.start() == 0 or _OPENS_EXAMPLE.search(line, 0, colon.start()):
        return None
    return colon.end()


def _dash_end(line: str) -> int | None:
    dashes = list(_DASH.finditer(line))
    # Two dashes in a sentence hold a parenthesis between them; before a digit a dash makes a range.
    if len(dashes) != 1 or line[dashes[0].end() + 1 : dashes[0].end() + 2].isdigit():
        return None
    if _NUMBERED_LABEL.match(line[: dashes[0].start()]):
        return None
    return dashes[0].end()


def _line_lead(text: str, below: int, config: ExtractConfig) -> int | None:
    line, _, rest = text.partition("\n")
    line = line.rstrip()
    if not line or len(line) > config.max_lead_chars or not (below or rest):
        return None
    # A long first line that ends in mid-sentence is wrapped text, no headline.
    if rest and len(line) > config.max_lead_chars // 2 and line[-1] not in ".:!?*":
        return None
    return len(line)


def _sentence_lead(masked: str, length: int, config: ExtractConfig) -> int | None:
    end = first_sentence_end(masked, config.min_sentence_chars)
    if end is None or end > config.max_sentence_chars:
        return None
    return end if length - end >= config.min_sentence_detail_ratio * end else None
