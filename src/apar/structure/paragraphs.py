"""Paragraphs of prose as parts: each opens with a topic sentence, a title or a label."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from apar.structure.content import prose_reasons
from apar.structure.criteria import ExtractConfig, Part, Reason
from apar.structure.leads import is_title, label_end, paragraph_lead
from apar.structure.markdown import Document

_LINE = re.compile(r"[^\r\n]*\S")
_PLEASANTRY = re.compile(
    r"(?:Sure|Certainly|Of course|Absolutely|Great|Okay|Thank you|I'd be happy|I hope|Let me know)\b"
)
_CLOSING = "*_\"'”’)]"
# Lines of at least so many characters on average are paragraphs; shorter ones are wrapped text.
_LONG_LINE = 90


@dataclass(frozen=True, slots=True)
class Prose:
    """The paragraphs of an answer that can fork, or why they should not."""

    num_paragraphs: int
    parts: tuple[Part, ...] = ()
    refused: Reason | None = None


def prose(text: str, document: Document, config: ExtractConfig) -> Prose:
    """The top-level paragraphs as parts."""
    spans = [
        span for block in document.blocks if block.kind == "paragraph" for span in _spans(text, block.start, block.end)
    ]
    paragraphs = [text[start:end] for start, end in spans]
    refused = next((reason for reason in prose_reasons(paragraphs) if reason in config.refused), None)
    if refused is not None or len(spans) < config.min_parts:
        return Prose(len(spans), refused=refused)
    labels = {paragraph[:end] for paragraph in paragraphs if (end := label_end(paragraph))}
    labelled = len(labels) >= config.min_parts
    parts = (_part(text, start, end, labelled, config) for start, end in spans)
    return Prose(len(spans), tuple(part for part in parts if part is not None))


def _part(text: str, start: int, end: int, labelled: bool, config: ExtractConfig) -> Part | None:
    if text[end - 1] == ":" or _PLEASANTRY.match(text, start, end):
        # What introduces the next paragraph must be read by it, hence stay in its thread.
        return None
    lead = paragraph_lead(text[start:end], labelled, config)
    if lead is None or len(text[start + lead : end].strip()) < config.min_detail_chars:
        return None
    return Part(start, start + lead, end)


def _spans(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The paragraphs of a block: many models put a single line break between paragraphs."""
    lines = [match.span() for match in _LINE.finditer(text, start, end)]
    if not _are_paragraphs([text[first:last] for first, last in lines]):
        yield start, end
        return
    title: int | None = None
    for first, last in lines:
        if title is None and is_title(text[first:last]) and last != end:
            title = first
            continue
        yield (first if title is None else title), last
        title = None


def _are_paragraphs(lines: list[str]) -> bool:
    """Whether all lines are long and end a sentence, or are titles; the last may be cut off."""
    body = [line for line in lines if not is_title(line)]
    long = len(body) > 1 and sum(map(len, body)) >= _LONG_LINE * len(body)
    return long and all(line.rstrip(_CLOSING).endswith((".", "!", "?", ":")) for line in body[:-1])
