"""The leads of one thread, and whether it is about to say one of them again.

A lead is the last line of a node that forks. Of two leads only the words count: a list number or bullet before them,
emphasis, white space, case and the punctuation behind them do not. Leads are compared within one list: a node with
lines before its lead (a heading, a sentence) begins another one, where the same leads may stand again.
"""

from __future__ import annotations

import re

_BULLETS = r"[\s>*_`#~+•·\-–—]*"
_NUMBER = re.compile(_BULLETS + r"(?:\(?\d{1,3}[.)](?!\d))?")
_PERHAPS_A_NUMBER = re.compile(_BULLETS + r"\(?\d{0,3}")
_EMPHASIS_AND_SPACE = re.compile(r"[\s*_`]+")
_PUNCTUATION = ".:,;!?-–—"


class Leads:
    """The leads of a thread so far, and the text of the node that it is saying."""

    __slots__ = ("_earlier", "_may_repeat", "_node")

    def __init__(self) -> None:
        self._earlier: set[str] = set()
        self._node = ""
        self._may_repeat = False

    @property
    def may_repeat(self) -> bool:
        """Whether the node's text is the beginning of an earlier lead. Once it is not, no more text makes it one."""
        return self._may_repeat

    @property
    def repeats(self) -> bool:
        """Whether the node's text is an earlier lead. One without words is none."""
        return self._may_repeat and normalized(self._node) in self._earlier

    def say(self, text: str) -> None:
        """The node goes on with `text`."""
        self._node += text
        self._may_repeat = self._may_repeat and self._begins_like_one()

    def fork(self) -> None:
        """The node ends with a lead, and the next one begins."""
        *before, lead = self._node.strip().split("\n")
        if before:
            self._earlier.clear()
        if words := normalized(lead):
            self._earlier.add(words)
        self._node, self._may_repeat = "", bool(self._earlier)

    def _begins_like_one(self) -> bool:
        if "\n" in self._node.strip():
            return False
        if _PERHAPS_A_NUMBER.fullmatch(self._node):
            return True
        words = normalized(self._node)
        return any(lead.startswith(words) for lead in self._earlier)


def normalized(lead: str) -> str:
    """What counts of a lead. Of a longer lead it is longer, or the same where only what is left out was added."""
    bare = lead[_NUMBER.match(lead).end() :]  # type: ignore[union-attr]  # it matches nothing, too
    return _EMPHASIS_AND_SPACE.sub("", bare).rstrip(_PUNCTUATION).casefold()
