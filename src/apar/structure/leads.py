"""Leads: how much of an item or a paragraph is its headline, on which the next one may build.

The functions take the text of one part and return the offset where its lead ends, or None. What must not be
read as punctuation (code, addresses, times, parentheses) is first masked by as many letters, so that every
offset in the masked text is one in the text.
"""

from __future__ import annotations

import re

from apar.structure.cjk import width
from apar.structure.config import StructureConfig
from apar.structure.sentences import first_sentence_end

_OPAQUE = re.compile(
    r"(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`)"  # code spans
    r"|\b(?:https?://|www\.)\S+"  # addresses, with whatever is glued to them
    r"|\d+(?:[:：.]\d+)+"  # times, ratios, verses, versions
    r"|\([^()\n]*\)|（[^（）\n]*）"  # what stands in parentheses
    r"|\$[^$\n]+\$|\\\(.+?\\\)"  # formulas
)
# Nothing is opaque without one of these.
_MAY_BE_OPAQUE = re.compile(r"[`\d(（$\\]|://|www\.")
_QUOTED = re.compile(r"\"[^\"\n]*\"|“[^”\n]*”|「[^」\n]*」")
_EMPHASIS = re.compile(
    r"(?P<mark>\*{1,3}|_{1,3})(?=[^\s*_])(?:(?!(?P=mark))[^\n])+(?<![\s*_])(?P=mark)(?![*_]|[A-Za-z0-9])"
)
# What may stand between an opening phrase in bold and the colon or dash that closes the lead.
_CLOSES_EMPHASIS = re.compile(
    r"(?:[ \t]*(?:\([^()\n]*\)|（[^（）\n]*）))?"
    r"(?:[ \t]*(?::(?=\s|$|[\u4e00-\u9fff])|：)|[ \t]+[-–—]+(?=\s)|—{1,2}|[.!?]?(?=\s*\n))"
)
# Behind a Chinese character there is no space: "优点:GPU".
_COLON = re.compile(r"(?::(?P<closing>[*_\"'”’]*)(?=\s|$|[\u4e00-\u9fff])|(?<=[\u4e00-\u9fff]):(?=[A-Za-z])|：[*_”’]*)")
_DASH = re.compile(r"(?<=\s)(?:-{1,2}|–|—)(?=\s)|(?<=\S)——(?=\S)|(?<=\w)—(?=\w)")
_MAY_BE_DASH = re.compile(r"[-–—]")
# A colon after these opens an enumeration, an example or speech inside the sentence; it closes no headline.
_OPENS_EXAMPLE = re.compile(
    r"\b(?:e\.g\.|i\.e\.|(?:for example|for instance|such as|includ(?:e|es|ing)|(?:as|the) follow(?:s|ing))\b)"
    r"|(?:例如|比如|包括|如下)[^，。]{0,4}$",
    re.I,
)
# "Step 2" or "Day 1" tells the place of a part but nothing of its matter.
_NUMBERED_LABEL = re.compile(r"\W*[A-Za-z]{0,12} ?\d[\d,.]*\W*")
_LABEL = re.compile(
    r"[A-Z](?:[^.!?:;\n]|(?<!\s)\.(?=\w)){1,58}:(?= )|[\u4e00-\u9fff][^。！？:：；，\n]{1,24}[:：](?=\S)"
)
_REMARKS = frozenset(("note", "warning", "tip", "answer", "title", "注意", "答案", "答", "注"))
_LINE_BREAK = re.compile(r"\r\n?|\n")
_TITLE_CHARS = 60


def item_lead(text: str, below: int, config: StructureConfig) -> int | None:
    """Where the lead of a list item ends.

    `text` is its first paragraph, `below` how many characters of blocks are under it. In this order: an
    opening phrase in bold or italics that a colon, a dash or the line's end closes; up to a colon or a
    spaced dash; any opening phrase in bold or italics; a first line that others follow; the first sentence.
    """
    masked = _mask(text[: 2 * config.max_sentence_chars])
    return (
        _inline_lead(text, masked, config)
        or line_lead(text, below, config)
        or _sentence_lead(text, masked, below, 0, config)
    )


def inline_lead(text: str, config: StructureConfig) -> int | None:
    """Where the lead of a list item ends within its first line: after a phrase in bold or italics, a colon, a dash."""
    return _inline_lead(text, _mask(text[: 2 * config.max_sentence_chars]), config)


def emphasis_end(text: str, config: StructureConfig) -> int | None:
    """Where a phrase in bold or italics ends that opens the text."""
    return _emphasis(_mask(text[: 2 * config.max_sentence_chars]), config)


def tells_place_only(lead: str) -> bool:
    """Whether a lead is like "Step 2:" or "Day 1", which tells the place of a part but nothing of its matter."""
    return _NUMBERED_LABEL.fullmatch(lead) is not None


def paragraph_lead(text: str, labelled: bool, config: StructureConfig) -> int | None:
    """Where the lead of a paragraph ends.

    In this order: an opening phrase in bold that a colon closes; a label (only if `labelled`, where the
    paragraphs beside it have labels as well); a title line; the first sentence.
    """
    masked = _mask(text[: 2 * config.max_sentence_chars])
    end = bold_label_end(text, config) or (label_end(text) if labelled else None)
    # "Yes!" opens a paragraph but is no topic sentence.
    return end or _title_lead(text, config) or _sentence_lead(text, masked, 0, config.min_sentence_chars, config)


def bold_label_end(paragraph: str, config: StructureConfig) -> int | None:
    """Where an opening phrase in bold or italics ends with the colon or dash that closes it, on one line."""
    if not paragraph.startswith(("*", "_")):
        return None
    head = _LINE_BREAK.split(paragraph, maxsplit=1)[0]
    bold = _closed_emphasis(head, _mask(head), config)
    return bold if bold is not None and head[:bold].rstrip("*_ ")[-1:] in (":", "：", "-", "–", "—") else None


def label_end(paragraph: str) -> int | None:
    """Where a label like "Cost:" ends that opens a line; None for "Step 2:", which tells nothing."""
    label = _LABEL.match(paragraph)
    if label is None or _NUMBERED_LABEL.fullmatch(label.group()) or label.group()[:-1].lower() in _REMARKS:
        return None
    return label.end()


def sentence_lead(text: str, below: int, config: StructureConfig) -> int | None:
    """Where the first sentence ends, if it can be a lead; `below` characters of blocks are under the text."""
    return _sentence_lead(text, _mask(text[: 2 * config.max_sentence_chars]), below, 0, config)


def is_title(line: str) -> bool:
    """Whether a line reads as the title of what follows: short, capitalised, and no sentence."""
    line = line.strip().strip("*_")
    return 0 < width(line) <= _TITLE_CHARS and line[-1] not in ".!?,;。！？，；" and not line[0].islower()


def _inline_lead(text: str, masked: str, config: StructureConfig) -> int | None:
    return _closed_emphasis(text, masked, config) or _punctuated_lead(masked, config) or _emphasis(masked, config)


def _mask(text: str) -> str:
    if _MAY_BE_OPAQUE.search(text) is None:
        return text
    return _OPAQUE.sub(lambda match: "x" * len(match.group()), text)


def _emphasis(masked: str, config: StructureConfig) -> int | None:
    if "emphasis" not in config.leads:
        return None
    phrase = _EMPHASIS.match(masked)
    return phrase.end() if phrase and phrase.end() <= config.max_lead_chars else None


def _closed_emphasis(text: str, masked: str, config: StructureConfig) -> int | None:
    end = _emphasis(masked, config)
    if end is None:
        return None
    closing = _CLOSES_EMPHASIS.match(text, end)
    if closing is not None:
        return closing.end()
    return end if masked[:end].rstrip("*_")[-1] in ":：.!?。" else None


def _punctuated_lead(masked: str, config: StructureConfig) -> int | None:
    line = _LINE_BREAK.split(masked, maxsplit=1)[0]
    line = _QUOTED.sub(lambda match: "x" * len(match.group()), line)[: config.max_lead_chars + 2]
    line = line[: first_sentence_end(line)]
    ends = [end for end in (_dash_end(line, config), _colon_end(line, config)) if end is not None]
    return min((end for end in ends if end <= config.max_lead_chars), default=None)


def _colon_end(line: str, config: StructureConfig) -> int | None:
    colon = _COLON.search(line) if "colon" in config.leads else None
    if colon is None or colon.start() == 0 or _OPENS_EXAMPLE.search(line, 0, colon.start()):
        return None
    return colon.end()


def _dash_end(line: str, config: StructureConfig) -> int | None:
    may_have = "dash" in config.leads and _MAY_BE_DASH.search(line) is not None
    dashes = list(_DASH.finditer(line)) if may_have else []
    # Two dashes in a sentence hold a parenthesis between them; before a digit a dash makes a range.
    if len(dashes) != 1 or line[dashes[0].end() + 1 : dashes[0].end() + 2].isdigit():
        return None
    return None if _NUMBERED_LABEL.fullmatch(line, 0, dashes[0].start()) else dashes[0].end()


def line_lead(text: str, below: int, config: StructureConfig) -> int | None:
    """Where the first line ends, if it leads what stands below it: more lines, or `below` characters of blocks."""
    if "line" not in config.leads:
        return None
    line, *rest = (part.rstrip() for part in _LINE_BREAK.split(text, maxsplit=1))
    if not line or len(line) > config.max_lead_chars or not (below or rest):
        return None
    # A long first line that ends in mid-sentence is wrapped text, no headline.
    if rest and width(line) > _TITLE_CHARS and line[-1] not in ".:!?*。：！？":
        return None
    return len(line)


def _title_lead(text: str, config: StructureConfig) -> int | None:
    if "line" not in config.leads:
        return None
    line, *rest = (part.rstrip() for part in _LINE_BREAK.split(text, maxsplit=1))
    return len(line) if rest and is_title(line) and not _NUMBERED_LABEL.fullmatch(line) else None


def _sentence_lead(text: str, masked: str, below: int, at_least: int, config: StructureConfig) -> int | None:
    if "sentence" not in config.leads:
        return None
    end = first_sentence_end(masked, at_least)
    if end is None or width(text[:end]) > config.max_sentence_chars:
        return None
    return end if len(text) + below - end >= config.min_sentence_detail_ratio * end else None
