"""The language of a text."""

from __future__ import annotations

import re

UNKNOWN = "und"
"""The code of a text whose language nothing tells."""

# The first characters tell it: with 1,000 of them the figures are the same, and take 2.5 times as long.
_CHARACTERS = 200
_SEARCHED = 4000
_CODE = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+|\$\$.*?\$\$|\$[^$\n]{1,200}\$|\\\[.*?\\\]|\\\(.*?\\\)", re.S
)
_SYMBOL = re.compile(r"[{}\[\]()<>=;_#$|\\]")
# A text with more of them among its characters is a program, which has no language.
_MOST_SYMBOLS = 0.1


def language_of(text: str) -> str:
    """The ISO 639-1 code of a text's language by `py3langid`, code left aside; "und" where nothing tells it."""
    import py3langid

    head = _CODE.sub(" ", text[:_SEARCHED]).strip()[:_CHARACTERS]
    symbols = len(_SYMBOL.findall(head))
    if symbols > _MOST_SYMBOLS * len(head) or not any(character.isalpha() for character in head):
        return UNKNOWN
    code = str(py3langid.classify(head)[0])
    return code if len(code) == 2 else UNKNOWN
