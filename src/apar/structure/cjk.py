"""Chinese, Japanese and Korean text: it has no spaces, punctuation of its own, and says more in a character."""

from __future__ import annotations

import re

_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0002ffff]")
_WIDTH = 3


def count_cjk(text: str) -> int:
    """The CJK characters of a text."""
    return 0 if text.isascii() else len(_CJK.findall(text))


def is_cjk(text: str) -> bool:
    """Whether more than a twentieth of a text is CJK characters."""
    return 20 * count_cjk(text) > len(text)


def width(text: str) -> int:
    """The length of a text in characters, where a CJK character, nearly a word, counts as three."""
    return len(text) + (_WIDTH - 1) * count_cjk(text)
