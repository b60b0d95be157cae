"""Where the first sentence of a text ends.

The boundaries are those of `sentencex`, which knows abbreviations ("Dr.", "e.g.", "U.S.") and numbers, and
whose offsets are exact characters on any text. Here it is made careful where a wrong cut would be worse than
none.
"""

from __future__ import annotations

import re

import sentencex  # type: ignore[import-untyped]

from apar.structure.cjk import is_cjk, width

# Python strings may hold lone surrogates, which no UTF-8 library takes.
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_CLOSING = re.compile(r"[*_\"'”’」』）)\]]*")
# A sentence that seems to end here may well go on: initials, "U.S.", "a.m.", "etc.", a list number.
_DOUBTFUL = re.compile(
    r"(?:\b(?:\w\.)+|\b(?:etc|vs|No|approx|cf|al|Inc|Ltd|Co|St)\.|(?:^|\s)\(?\d{1,3}\.|\.\.\.|…|[:：])$"
)
# Text without any mark that could end a sentence, as leads mostly are: no need to look.
_WITHOUT_END = re.compile(r"[\w \t,:'’*()（）\-–—/&，：、]*")
_CJK_END = re.compile(r"[。！？][*_\"'”’」』）)\]]*$")


def first_sentence_end(text: str, at_least: int = 0) -> int | None:
    """Offset after the first sentence of at least `at_least` characters (a CJK one counts as three), if more
    text follows it.

    The offset is before the white space that follows the sentence; closing quotation and emphasis
    marks belong to the sentence.
    """
    if _WITHOUT_END.fullmatch(text):
        return None
    language = "zh" if is_cjk(text) else "en"
    for boundary in sentencex.get_sentence_boundaries(language, _SURROGATE.sub("\ufffd", text)):
        sentence = text[: boundary["end_index"]].rstrip()
        closing = _CLOSING.match(text, len(sentence))
        end = closing.end() if closing else len(sentence)
        if end >= len(text.rstrip()):
            return None
        if sentence and width(text[:end]) >= at_least and _ends(text, end) and not _DOUBTFUL.search(sentence):
            return end
    return None


def _ends(text: str, end: int) -> bool:
    """Whether white space follows, and then no small letter, which would go on with the sentence."""
    if _CJK_END.search(text, max(end - 4, 0), end):
        return text[end - 1] not in "”’」』" or text[end].isspace()
    return text[end].isspace() and not text[end:].lstrip()[:1].islower()
