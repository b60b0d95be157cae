"""Regions whose lines are no items whatever they look like: fenced code, displayed formulas, comments of HTML."""

from __future__ import annotations

import re

_FENCE = re.compile(r"[ \t]*(?:(?:\d{1,3}[.)]|[-+*>])[ \t]+)*(`{3,}|~{3,})")
_OPENS_FORMULA, _CLOSES_FORMULA = r"\[", r"\]"


class Opaque:
    """Told the lines of a text one after the other, it knows whether the next one lies in such a region."""

    __slots__ = ("_closing",)

    def __init__(self) -> None:
        self._closing: str | None = None

    @property
    def inside(self) -> bool:
        """Whether the next line lies in such a region."""
        return self._closing is not None

    def end_line(self, line: str) -> None:
        """A line is complete; it is given without its line break."""
        if self._closing is not None:
            self._closing = None if self._closes(line) else self._closing
        elif fence := _FENCE.match(line):
            # A fence that closes on its own line is a code span.
            self._closing = None if fence[1] in line[fence.end() :] else fence[1]
        elif line.count("$$") % 2:
            self._closing = "$$"
        elif line.rfind(_OPENS_FORMULA) > line.rfind(_CLOSES_FORMULA):
            self._closing = _CLOSES_FORMULA

    def _closes(self, line: str) -> bool:
        closing = str(self._closing)
        if closing[0] in "`~":
            bare = line.strip()
            return bare.startswith(closing) and not bare.strip(closing[0])
        return closing in line
