"""The line of an item, character by character: where its lead ends.

A lead ends at a colon or a dash that no later character can make part of it, with a phrase in bold and what closes it,
or with its line. Where one more character decides ("10:" may become "10:30", a phrase in bold may yet get its colon),
it is waited for.
"""

from __future__ import annotations

import re
from typing import Literal

from apar.decoding.by_form.markers import Marker
from apar.structure.cjk import count_cjk
from apar.structure.config import StructureConfig
from apar.structure.leads import emphasis_end, inline_lead, is_title, line_lead

Form = Literal["colon", "dash", "bold", "line", "bare"]
"""What ended a lead: a colon, a dash, a phrase in bold or italics alone, the line; `bare` is a line whose detail goes
on behind it, in a list of which the thread sees bare leads."""

_DASHES = "-–—"
_MARKS = "*_"
SENTENCE_ENDS = (".", "!", "?", "。", "！", "？", ";", "；")
# After a phrase in bold these go on with a title: "**Red Rising** by Pierce Brown - a series".
_JOINS = frozenset(
    ("a", "an", "and", "at", "by", "for", "from", "in", "into", "of", "on", "or", "the", "to", "vs", "with")
)
_NEXT_WORD = re.compile(r"[ \t]+([^\W\d_][\w'’-]*)[^\w'’-]")
_MAY_BE_CLOSED = re.compile(r"[ \t]*(?:[(（][^()（）]*[)）]?[ \t]*|[ \t][-–—]{0,3}|[ \t]+[^\W\d_][\w'’-]*)?")
_IN_PARENTHESES = re.compile(r"[ \t]*(?:\([^()]*\)|（[^（）]*）)")
_SCHEMES = ("http", "https", "ftp", "mailto", "www")
_SCHEME = re.compile(r"\b(?:https?|ftp|mailto|www)$", re.I)
_MAY_BE_OPEN = re.compile(r"[`\"$*_(（\[“「]")
_PAIRS = (("(", ")"), ("（", "）"), ("[", "]"), ("“", "”"), ("「", "」"))


class Line:
    """A line that is being written. `text` is what there is of it, its marker included."""

    __slots__ = ("_bold", "_colon", "_config", "_marker", "form", "text")

    def __init__(self, config: StructureConfig) -> None:
        self._config = config
        self.text = ""
        self.form: Form = "line"
        self._marker: Marker | None = None
        self._bold = 0  # where the phrase in bold ends that opens the content
        self._colon = 0  # where a colon stands that the next character decides on

    def begin(self, marker: Marker) -> None:
        """The line turned out to be an item's."""
        self._marker = marker

    @property
    def _begin(self) -> int:
        return self._marker.content if self._marker else 0

    @property
    def unsure(self) -> int:
        """Where in the line a lead may have ended, if the next characters say so; its length where none may have."""
        return self._colon or self._bold or len(self.text)

    @property
    def is_hopeless(self) -> bool:
        """Whether no lead can end in the line any more, nor with it."""
        return len(self.text) - self._begin > self._config.max_lead_chars + 8

    def lead_end(self, last: str) -> int:
        """How many characters of the line are its lead, if the character `last` has shown that it ended; else 0."""
        marker = self._marker
        if marker is None or marker.kind == "heading":
            return 0
        if self._colon:
            end, self._colon = self._colon, 0
            if last.isspace() or count_cjk(last):
                return self._ends("colon", end)
        if last in ":：":
            return self._at_colon()
        if last in _MARKS:
            return self._at_mark()
        if self._bold:
            return self._behind_bold(last)
        if last in " \t" and self.text[-2:-1] in _DASHES and self.text[-2:-1]:
            return self._at_dash(len(self.text) - 1)
        if self.text.endswith("——", 0, -1):
            return self._at_dash(len(self.text) - 1)
        return 0

    def end_of_line(self) -> int:
        """The same once the line is complete: a heading is a lead, and so is what waited for one more character."""
        marker = self._marker
        if marker is None:
            return 0
        if marker.kind == "heading":
            return self._ends("line", len(self.text.rstrip()))
        if self._colon:
            return self._ends("colon", self._colon)
        end = len(self.text.rstrip())
        return self._at_dash(end) if self.text[end - 1 : end] in _DASHES and self.text[end - 2 : end - 1] == " " else 0

    def bare_lead(self) -> int:
        """How many characters of the complete line are a lead, where all items are bare leads: no sentence is one."""
        content = self._content.rstrip()
        is_lead = content[-1:] not in SENTENCE_ENDS and line_lead(content, 1, self._config) is not None
        return self._ends("bare", len(self.text.rstrip())) if content and is_lead else 0

    def may_lead_below(self) -> bool:
        """Whether the complete line is a lead if something stands under it."""
        content = self._content.rstrip()
        if self._marker is None or line_lead(content, 1, self._config) is None:
            return False
        if self._marker.kind == "label":
            return emphasis_end(content, self._config) == len(content)
        return is_title(content)

    @property
    def _content(self) -> str:
        return self.text[self._begin :]

    def _ends(self, form: Form, end: int) -> int:
        self.form = form
        return end

    def _at_colon(self) -> int:
        content = self._content
        if not _is_settled(content) or inline_lead(content, self._config) != len(content):
            return 0
        if self._needs_bold and not self._bold:
            return 0
        if content[:-1].rstrip(_MARKS)[-1:].isdigit() or content.endswith("::"):
            self._colon = len(self.text)
            return 0
        return (
            0
            if content[:-1].lower().endswith(_SCHEMES) and _SCHEME.search(content[:-1])
            else self._ends("colon", len(self.text))
        )

    def _at_mark(self) -> int:
        content = self._content
        if emphasis_end(content, self._config) == len(content):
            if content.rstrip(_MARKS)[-1] in ":：":
                return self._ends("colon", len(self.text))
            if content.rstrip(_MARKS)[-1] in ".!?。！？" and not self._needs_bold:
                return self._ends("bold", len(self.text))
            self._bold = len(self.text)
        elif content.rstrip(_MARKS)[-1:] in (":", "：") and _is_settled(content) and not self._needs_bold:
            # "Get **this:**"
            return self._ends("colon", len(self.text)) if inline_lead(content, self._config) == len(content) else 0
        return 0

    @property
    def _needs_bold(self) -> bool:
        """Whether only a phrase in bold that a colon or dash closes makes a lead: the line has no marker."""
        return self._marker is not None and self._marker.kind == "label"

    def _behind_bold(self, last: str) -> int:
        """After an opening phrase in bold: a dash closes it, another word goes on without one."""
        rest = self.text[self._bold :]
        if last in _DASHES and rest[-2:-1] in (" ", "\t"):
            return self._ends("dash", len(self.text))
        if _MAY_BE_CLOSED.fullmatch(rest):
            return 0
        end, self._bold = self._bold, 0
        if self._needs_bold:
            return 0
        word = _NEXT_WORD.fullmatch(rest)
        goes_on = (word is not None and word[1].lower() not in _JOINS) or count_cjk(rest[:1]) > 0
        return self._ends("bold", end) if goes_on else 0

    def _at_dash(self, end: int) -> int:
        content = self.text[self._begin : end]
        before = content.rstrip(_DASHES).rstrip()
        name = _IN_PARENTHESES.sub("", before)
        if self._needs_bold or not is_title(name) or name.rstrip()[-1].isdigit() or not _is_settled(content):
            return 0
        behind = self.text[end : end + 1].strip("\n") or " "
        return self._ends("dash", end) if inline_lead(content + behind, self._config) == len(content) else 0


def _is_settled(content: str) -> bool:
    """Whether nothing is open that a colon or a dash could stand in: code, quotation, emphasis, parentheses."""
    if _MAY_BE_OPEN.search(content) is None:
        return True
    if content.count("`") % 2 or content.count('"') % 2 or content.count("$") % 2 or content.count("**") % 2:
        return False
    if content[:1] in _MARKS and content[1:2] not in _MARKS and content.count(content[0]) % 2:
        return False
    return all(content.count(opens) <= content.count(closes) for opens, closes in _PAIRS)
