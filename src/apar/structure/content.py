"""Kinds of content whose parts should not be decoded side by side, whatever their form.

The tests are cheap and err on the side of refusing: an answer refused wrongly still teaches a model when
not to fork.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from apar.structure.criteria import Reason
from apar.structure.markdown import BlockKind, Document

_PROGRAM_LINE = re.compile(
    r"^[ \t]*(?:(?:def|class|function|func|fn|public|private|static|const|let|var) \w+.*[({=:].*"
    r"|(?:import|from) [\w.]+(?: import .*)?|#include\b.*|using [\w.]+;|return\b.*;|(?:if|for|while) ?\(.*"
    r"|[a-z][\w.]+ = .*[(\[{\"'].*|[\w.]+\(.*\)"
    r"|SELECT\b.*\bFROM\b.*|<\?php.*|[^\n]*[;{}]|[^\n]*\[\d+(?:, ?\d+)+\][^\n]*)[ \t]*$",
    re.M,
)
_FORMULA = re.compile(
    r"\$\$|\\[(\[]|\\(?:begin|end|frac|sqrt|sum|int|times|cdot|left|right|text|mathbf|le|ge|pi)\b"
    r"|(?<![\w$\\])\$(?=[^\s$])[^$\n]{1,200}?(?<=[^\s$\\])\$(?![\w$])"
    # An equation in plain text: an equals sign beside a number, an operator or a single letter.
    r"|(?:[\d)\]²³%]|\b[A-Za-z]) ?= ?[-+(√$£€]?[\w(]|= ?[-+(√$£€]?(?:\d|\b[A-Za-z]\b)|\w\^[\w({]"
)
_LINE_BREAK = re.compile(r"\r\n?|\n")
_CODE_SPAN = re.compile(r"`[^`\n]*`")
_TAG = re.compile(r"</?[A-Za-z][\w-]*(?:\s[^<>\n]*)?/?>|<!--")
_ADDRESS = re.compile(r"https?://|\bwww\.\w|\[[^\[\]\n]+\]\([^\s)]")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0002ffff]")
_SALUTATION = re.compile(r"^[ \t]*(?:Dear|Dearest|My dear|Hi|Hello|Hey) [^\n]{1,60},[ \t]*$|^[ \t]*Subject:", re.M)
_STORY = re.compile(r"\bonce upon a time\b|\bthe end\b[.!*]*\s*$|\bchapter (?:1|one|i)\b", re.I)
_PRONOUN = re.compile(r"\b(?:I|[Mm]e|[Mm]y|[Hh]e|[Ss]he|[Hh]im|[Hh]er)\b")
# Speech has some words; a title in quotation marks may end in a comma as well.
_SPEECH = re.compile(r"[\"“](?:[^\"“”\s]+[ \t]+){3,}[^\"“”\s]*[,.!?—…][\"”]")
_SPEAKER = re.compile(r"[*_]*(?P<name>[A-Z][\w .'-]{0,30})[*_]*:[*_]* ")

_BLOCK_REASONS: dict[BlockKind, Reason] = {
    "code": "code",
    "table": "table",
    "html": "markup",
    "quote": "quotation",
}


def content_reasons(text: str, document: Document) -> Iterator[Reason]:
    """Why an answer's parts should not run side by side, the weightiest reason first."""
    yield from (reason for kind, reason in _BLOCK_REASONS.items() if kind in document.kinds)
    yield from (reason for reason, holds in _TESTS.items() if holds(text))


def prose_reasons(paragraphs: list[str]) -> Iterator[Reason]:
    """Why paragraphs of plain prose go on from each other."""
    text = "\n\n".join(paragraphs)
    if _share(paragraphs, _has_short_lines) > 0.3:
        yield "short_lines"
    if _SALUTATION.search(text):
        yield "letter"
    if _speakers_return(paragraphs) or _share(paragraphs, _is_speech) >= 0.3:
        yield "dialogue"
    if _STORY.search(text) or 25 * len(_PRONOUN.findall(text)) > len(text.split()):
        yield "narrative"


def _is_program(text: str) -> bool:
    return sum(1 for _ in _PROGRAM_LINE.finditer(text)) >= 3


def _is_cjk(text: str) -> bool:
    return 20 * len(_CJK.findall(text)) > len(text)


_TESTS: dict[Reason, Callable[[str], bool]] = {
    "code": _is_program,
    "markup": lambda text: _TAG.search(_CODE_SPAN.sub("", text)) is not None,
    "url": lambda text: _ADDRESS.search(text) is not None,
    "formula": lambda text: _FORMULA.search(_CODE_SPAN.sub("", text)) is not None,
    "cjk": _is_cjk,
}


def _share(paragraphs: list[str], holds: Callable[[str], bool]) -> float:
    return sum(map(holds, paragraphs)) / len(paragraphs) if paragraphs else 0.0


def _has_short_lines(paragraph: str) -> bool:
    lines = _LINE_BREAK.split(paragraph)
    return len(lines) >= 3 and len(paragraph) < 70 * len(lines)


def _speakers_return(paragraphs: list[str]) -> bool:
    names = [match["name"] for match in map(_SPEAKER.match, paragraphs) if match]
    return len(names) - len(set(names)) >= 2


def _is_speech(paragraph: str) -> bool:
    # A quotation that a paragraph leaves open goes on in the next.
    opens = paragraph.count("“") - paragraph.count("”") or paragraph.count('"') % 2
    return bool(opens) or _SPEECH.search(paragraph) is not None
