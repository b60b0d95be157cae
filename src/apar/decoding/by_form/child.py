"""What a child sees, with what it may not begin, and where its detail ends.

The child of an item sees the prompt, the answer up to the opening of the list, and its own lead as if it were the
first. It goes on as a model goes on in a list: with its detail, and then with the next item. There it is ended.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from apar.decoding.by_form.markers import Marker, may_become_marker, read_marker, renumbered, width_of
from apar.decoding.by_form.opaque import Opaque
from apar.decoding.by_form.plain_labels import MARKER as PLAIN_LABEL
from apar.decoding.by_form.plain_labels import may_become_label, plain_label_end
from apar.decoding.by_form.reader import LeadEnd
from apar.structure.phrases import CLOSING

_RULE = re.compile(r"[ \t]*(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,})")
_MAY_BE_RULE = re.compile(r"[ \t]*(?:[-*_][ \t]*)+")
_NESTED = 2
_LINE_BREAKS = ("\n", "\r")
# So many characters of a paragraph tell whether it closes the answer.
_OPENING_CHARS = 24

MOST_SPACE = 8
"""White space that a detail may open with."""

State = Literal["go", "hold", "ended"]


class DetailState(NamedTuple):
    """How far a detail is: `go` on, `hold` (what is behind `chars` may be a border), or `ended`.

    `chars` characters of what the child wrote are sure to belong to the detail; once it `ended` they are all of it.
    """

    state: State
    chars: int


def child_lead(lead: LeadEnd) -> str:
    """The lead that a child sees behind the opening of the list: as that of the list's first item."""
    marker = lead.marker
    if marker.number == lead.first_number:
        return lead.lead
    begin = len(marker.indent)
    return lead.lead[:begin] + renumbered(marker, lead.first_number) + lead.lead[begin + len(marker.text) :]


def child_text(text: str, lead: LeadEnd) -> str:
    """The answer as a child sees it: up to the opening of the list, and its own lead."""
    return text[: lead.opening] + child_lead(lead)


def may_begin(said: str, lead: LeadEnd) -> bool:
    """Whether a child may have begun with `said`: not with an end, a border, or what can only become one.

    Ask before a token is taken, until `said` has a visible character. A detail stands on the line of its lead; that of
    a heading or of a title line stands below it.
    """
    if not said.strip() and len(said) > MOST_SPACE:
        return False
    if lead.form == "line":
        return DetailReader(lead).feed(said).state != "ended"
    return not said.lstrip(" \t").startswith(_LINE_BREAKS)


class DetailReader:
    """Reads what a child writes behind its lead, piece by piece. Feed it first what the parent wrote behind the lead
    before that was known to have ended, if that was left to the child.
    """

    __slots__ = ("_blank", "_ended", "_lead", "_line", "_mode", "_opaque", "_outside", "_safe", "_said", "_start")

    def __init__(self, lead: LeadEnd) -> None:
        self._lead = lead
        self._opaque = Opaque()
        self._line = ""
        self._start = 0  # of the line
        self._mode: Literal["start", "rest"] = "rest"
        self._blank = False
        self._said = False  # whether the detail has a visible character
        self._outside = False  # whether its paragraphs stand as far out as its lead, a plain title
        self._safe = 0
        self._ended = False

    def feed(self, piece: str) -> DetailState:
        """Read on. After the end nothing changes any more."""
        for character in piece:
            if self._ended:
                break
            if character == "\n":
                self._end_line()
            else:
                self._say(character)
        if self._ended:
            return DetailState("ended", self._safe)
        whole = self._start + len(self._line) == self._safe
        return DetailState("go" if whole else "hold", self._safe)

    def _say(self, character: str) -> None:
        self._line += character
        if self._mode == "start" and not self._decide():
            return
        if not character.isspace():
            self._said = True
            self._safe = self._start + len(self._line)

    def _end_line(self) -> None:
        if self._mode == "start" and self._line.strip():
            if self._is_border(self._line.rstrip(), complete=True):
                self._ended = True
                return
            self._begin_rest()
        if self._line.strip():
            self._said = True
            self._safe = self._start + len(self._line.rstrip())
            self._blank = False
        elif self._start:
            self._blank = True
        self._opaque.end_line(self._line)
        self._start += len(self._line) + 1
        self._line, self._mode = "", "start"

    def _decide(self) -> bool:
        """Whether it is known that the line goes on with the detail."""
        line = self._line
        if self._opaque.inside:
            self._mode = "rest"
            return True
        if not line.strip():
            return False
        if may_become_marker(line):
            # "2. " is a marker whatever stands behind it.
            if line[-1] in " \t" and self._is_border(line + "x", complete=False):
                self._ended = True
            return False
        if _MAY_BE_RULE.fullmatch(line) or self._may_be_label(line) or self._may_close(line):
            return False
        if self._is_border(line, complete=False):
            self._ended = True
            return False
        self._begin_rest()
        return True

    def _begin_rest(self) -> None:
        """The line goes on with the detail."""
        self._mode = "rest"
        if not self._said and self._blank and self._lead.form == "line" and not self._lead.is_bold:
            self._outside = self._is_outside(self._line)

    def _is_outside(self, line: str) -> bool:
        """Whether a line stands as far out as the item."""
        own = self._lead.marker
        is_item = own.column >= 0 or own is PLAIN_LABEL
        return is_item and width_of(line[: len(line) - len(line.lstrip())]) <= width_of(own.indent)

    def _may_be_label(self, line: str) -> bool:
        return self._lead.marker is PLAIN_LABEL and may_become_label(line)

    def _may_close(self, line: str) -> bool:
        """Whether a paragraph that may belong to the detail may yet turn out to close the answer."""
        return self._outside and self._blank and self._is_outside(line) and len(line) < _OPENING_CHARS

    def _is_border(self, line: str, complete: bool) -> bool:
        """Whether a line does not belong to the detail."""
        if self._opaque.inside:
            return False
        if _RULE.fullmatch(line):
            return complete and self._said
        marker = read_marker(line if not complete else line + " x")
        if marker is not None:
            return self._is_marker_border(marker)
        if self._lead.marker is PLAIN_LABEL and plain_label_end(f"{line} " if complete else line):
            return True
        if not (self._blank and self._said and self._is_outside(line)):
            return False
        return CLOSING.match(line.strip()) is not None if self._outside else True

    def _is_marker_border(self, marker: Marker) -> bool:
        own = self._lead.marker
        if own.kind in ("heading", "label"):
            return marker.kind in ("heading", "label") and marker.column <= own.column
        if marker.column < 0:  # a heading, or a paragraph with a label
            return self._blank or marker.kind == "heading"
        if marker.column >= own.column + _NESTED:
            return False
        if marker.family == own.family and bool(marker.number) == bool(own.number):
            return True
        # Bullets under a number are often written without indentation; after the first paragraph they are another list.
        return marker.column < own.column or not (marker.kind == "bullet" and own.kind == "ordered")
