"""Kinds of content: what an answer holds, told by cheap tests that rather see too much than too little."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from apar.structure.cjk import is_cjk
from apar.structure.labels import Reason
from apar.structure.markdown import Block, BlockKind

_PROGRAM_LINE = re.compile(
    r"^[ \t]*+(?:(?:def|class|function|func|fn|public|private|static|const|let|var) \w+[^\n]*[({=:][^\n]*"
    r"|(?:import|from) [\w.]+(?: import [^\n]*)?|#include\b[^\n]*|using [\w.]+;|return\b[^\n]*;"
    r"|(?:if|for|while) ?\([^\n]*"
    r"|[a-z][\w.]+ = [^\n]*[(\[{\"'][^\n]*|[\w.]+\([^\n]*\)"
    r"|SELECT\b[^\n]*\bFROM\b[^\n]*|<\?php[^\n]*|[^\n]*[;{}]|[^\n]*\[\d+(?:, ?\d+)+\][^\n]*)[ \t]*$",
    re.M,
)
_FORMULA = re.compile(
    r"\$\$|\\[(\[]|\\(?:begin|end|frac|sqrt|sum|int|times|cdot|left|right|text|mathbf|le|ge|pi)\b"
    r"|(?<![\w$\\])\$(?=[^\s$])[^$\n]{1,200}?(?<=[^\s$\\])\$(?![\w$])"
    # An equation in plain text: an equals sign beside a number, an operator or a single letter.
    r"|(?:[\d)\]²³%]|\b[A-Za-z]) ?= ?[-+(√$£€]?[\w(]|= ?[-+(√$£€]?(?:\d|\b[A-Za-z]\b)|\w\^[\w({]"
)
_CODE_SPAN = re.compile(r"`[^`\n]*`")
_TAG = re.compile(r"</?[A-Za-z][\w-]*(?:\s[^<>\n]*)?/?>|<!--")
_ADDRESS = re.compile(r"https?://|\bwww\.\w|\[[^\[\]\n]+\]\([^\s)]")

_BLOCK_REASONS: dict[BlockKind, Reason] = {
    "code": "code",
    "table": "table",
    "html": "markup",
    "quote": "quotation",
}


def content_reasons(text: str, blocks: Sequence[Block]) -> Iterator[Reason]:
    """The kinds of content in an answer that the paper does not part, the weightiest first."""
    kinds = set(_all_kinds(blocks))
    yield from (reason for kind, reason in _BLOCK_REASONS.items() if kind in kinds)
    yield from (reason for reason, holds in _TESTS.items() if holds(text))


def is_program(text: str) -> bool:
    """Whether most lines read as a program, or three of them."""
    lines = sum(1 for _ in _PROGRAM_LINE.finditer(text))
    return lines >= 3 and 2 * lines > text.count("\n")


def has_formula(text: str) -> bool:
    """Whether there is TeX or an equation."""
    return any(sign in text for sign in "=$\\^") and _FORMULA.search(_CODE_SPAN.sub("", text)) is not None


def _all_kinds(blocks: Sequence[Block]) -> Iterator[BlockKind]:
    for one in blocks:
        yield one.kind
        yield from _all_kinds(one.children)


_TESTS: dict[Reason, Callable[[str], bool]] = {
    "code": lambda text: sum(1 for _ in _PROGRAM_LINE.finditer(text)) >= 3,
    "markup": lambda text: _TAG.search(_CODE_SPAN.sub("", text)) is not None,
    "url": lambda text: _ADDRESS.search(text) is not None,
    "formula": has_formula,
    "cjk": is_cjk,
}
CONTENT_REASONS: frozenset[Reason] = frozenset((*_BLOCK_REASONS.values(), *_TESTS))
"""Every kind of content that is told."""
