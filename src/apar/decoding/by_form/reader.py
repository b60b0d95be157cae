"""Reads an answer while it is written and says where the lead of a list's item has ended.

What a lead is say the rules of extraction (`apar.structure.leads`). These read whole items; here they are asked at the
few characters at which a lead can end, and only about the line so far: so what is said does not depend on how the text
is cut into tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from apar.decoding.by_form.line import Form, Line
from apar.decoding.by_form.markers import Kind, Marker, follows, may_become_marker, opens_text, read_marker
from apar.decoding.by_form.opaque import Opaque
from apar.decoding.by_form.plain_labels import LONGEST_LABEL, LabelRun, opens_label, plain_label_end
from apar.decoding.by_form.plain_labels import MARKER as PLAIN_LABEL
from apar.structure.config import DEFAULT, StructureConfig

Separator = Literal["\n", "\n\n"]
# Where an empty line stands before the first item; where none does, none stands between items either.
_SEPARATORS: dict[Kind, Separator] = {"ordered": "\n\n", "bullet": "\n", "heading": "\n\n", "label": "\n\n"}
_LISTS = ("ordered", "bullet")
_NESTED = 2  # an item stands in another one where it is indented by so many columns more


class LeadEnd(NamedTuple):
    """The end of an item's lead. Offsets are those of the text that the reader was fed.

    The item's line begins at `start` and its lead ends at `at`; `lead` is what lies between, marker and indentation
    included. The reader may have been fed more by then: `read` characters. `opening` is where the first item of the
    list begins, `first_number` its number, `place` counts the items from 0, `bare` those before this one that had no
    lead. `separator` are the line breaks before an item of this list, a guess (`learned` is False) until there were two
    items. `level` is 1 in a list within a list, and in a section within a section.
    """

    marker: Marker
    form: Form
    start: int
    at: int
    read: int
    lead: str
    opening: int
    first_number: int
    place: int
    bare: int
    level: int
    separator: Separator
    learned: bool

    @property
    def kind(self) -> Kind:
        return self.marker.kind

    @property
    def content(self) -> str:
        """The lead without marker and indentation."""
        return self.lead[self.marker.content :]

    @property
    def is_bold(self) -> bool:
        return self.content.startswith(("**", "__"))


@dataclass(slots=True)
class _List:
    """A list that is open: it may have more items."""

    last: Marker
    opening: int
    first_number: int
    separator: Separator
    learned: bool = False
    items: int = 0
    with_lead: int = 0
    has_forked: bool = False
    are_titles: bool = False  # whether details stand below their leads
    before: Marker | None = None  # the last but one

    @property
    def bare(self) -> int:
        """Items before the last one that had no lead."""
        return self.items - 1 - self.with_lead


@dataclass(slots=True)
class _Item:
    """The item whose line is being read, or whose line was its lead if something stands under it."""

    marker: Marker
    start: int
    of: _List
    level: int
    is_title: bool = False
    line_lead: str = field(default="")


class ItemReader:
    """Reads the text of one thread, piece by piece. `levels` are the lists within lists that it looks at."""

    __slots__ = (
        "_blank",
        "_config",
        "_found",
        "_item",
        "_labels",
        "_last",
        "_levels",
        "_line",
        "_lists",
        "_mode",
        "_opaque",
        "_pieces",
        "_start",
        "_text_before",
        "_waiting",
    )

    def __init__(self, config: StructureConfig = DEFAULT, levels: int = 2) -> None:
        self._config = config
        self._levels = levels
        self._opaque = Opaque()
        self._pieces: list[str] = []
        self._lists: list[_List] = []
        self._found: list[LeadEnd] = []
        self._line = Line(config)
        self._start = 0  # of the line
        self._blank = 0  # empty lines before it
        self._text_before = False
        self._mode: Literal["start", "item", "label", "rest"] = "start"
        self._item: _Item | None = None  # whose line this is
        self._waiting: _Item | None = None  # whose line may have been its lead
        self._last: _List | None = None  # that of the lead that was found last
        self._labels: tuple[_List, LabelRun] | None = None  # plain ones that follow one another

    @property
    def text(self) -> str:
        """All that was fed."""
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    @property
    def read(self) -> int:
        """How many characters were read."""
        return self._start + len(self._line.text)

    @property
    def unsure(self) -> int:
        """Where a lead may have ended, if what comes next says so; the end of all that was read where none may have."""
        if self._waiting is not None:
            return self._waiting.start + len(self._waiting.line_lead)
        if self._mode == "label" and self._line.text.endswith((":", "：")):
            return self.read
        return self._start + self._line.unsure if self._mode == "item" else self.read

    def rewind(self, lead: LeadEnd) -> None:
        """Take back what was read behind `lead`, which the last character has shown to have ended."""
        of = self._last
        assert of is not None
        text = self.text[: lead.at]
        self._pieces = [text]
        of.has_forked = True
        self._lists = [one for one in self._lists if one.opening < lead.at]
        if self._labels is not None and self._labels[0] is of:
            self._labels[1].detail_from = None
        elif all(one is not of for one in self._lists):
            self._lists.append(of)
        self._line = Line(self._config)
        self._line.text, self._start = text[lead.start :], lead.start
        self._mode, self._blank, self._item, self._waiting = "rest", 0, None, None

    def rewind_within(self, lead: LeadEnd, at: int) -> None:
        """Take back the item of `lead`, the last that was found, from the character `at` behind its marker on."""
        of = self._last
        assert of is not None
        text = self.text[:at]
        self._pieces = [text]
        of.last = of.before or of.last
        of.items -= 1
        of.with_lead -= 1
        self._line = Line(self._config)
        self._line.text, self._start = text[lead.start :], lead.start
        self._blank = int(text[: lead.start].endswith("\n\n"))
        self._mode, self._item, self._waiting = "start", None, None

    def feed(self, piece: str) -> Sequence[LeadEnd]:
        """Read on; the leads of which `piece` has shown that they ended, mostly none."""
        self._pieces.append(piece)
        if "\n" not in piece:
            self._say(piece)
        else:
            *whole, last = piece.split("\n")
            for part in whole:
                self._say(part)
                self._end_line()
            self._say(last)
        if not self._found:
            return ()
        found, self._found = self._found, []
        return found

    def end(self) -> LeadEnd | None:
        """The text ends here: the lead that its last line is then, in a list that has forked; None if it is none."""
        if self._mode == "item" and self._item is not None and self._item.of.has_forked:
            self._end_lead(self._item)
        return self._found.pop() if self._found else None

    def _say(self, part: str) -> None:
        """Read on within a line."""
        line = self._line
        if self._mode == "rest":
            line.text += part
            return
        for k, character in enumerate(part):
            line.text += character
            if self._mode == "label":
                self._read_label()
            elif self._mode == "start":
                self._begin_line(character)
            elif end := line.lead_end(character):
                self._emit(self._item, line.form, end)
                self._mode = "rest"
            elif line.is_hopeless:
                self._mode = "rest"
            if self._mode == "rest":
                line.text += part[k + 1 :]
                return

    def _begin_line(self, character: str) -> None:
        line = self._line.text
        if self._opaque.inside:
            self._mode = "rest"
            return
        is_text = len(line) == 1 and opens_text(character)
        if not is_text and (character.isspace() or may_become_marker(line)):
            return
        marker = None if is_text else read_marker(line)
        self._settle_waiting(line, marker)
        if marker is None:
            self._mode = "label" if opens_label(line) else "rest"
            if self._blank and line[0] not in " \t":
                self._lists = [one for one in self._lists if one.last.kind != "bullet"]
        else:
            self._mode = "item"
            self._item = self._open_item(marker)
            self._line.begin(marker)
            if marker.kind != "bullet" and not marker.indent:
                self._labels = None
        self._text_before = True

    def _read_label(self) -> None:
        """Read on in a line without marker that may open with a plain label: the character behind a colon decides."""
        line = self._line.text
        if line[-1] in ":：" and self._labels is not None and self._labels[1].has_forked:
            line += " "  # its thread sees bare labels: nothing need stand behind this one
        elif line[-2] not in ":：" and len(line) < LONGEST_LABEL:
            return
        self._mode = "rest"
        end = plain_label_end(line)
        if end is None:
            self._end_labels()
        else:
            self._open_label(line[:end])

    def _end_labels(self) -> None:
        """A line that opens without a label ends their row, if it is a paragraph of its own."""
        if self._blank:
            self._labels = None

    def _open_label(self, label: str) -> None:
        if self._labels is None or not self._labels[1].goes_on(label, self.text, self._start):
            self._labels = _List(PLAIN_LABEL, self._start, 0, "\n"), LabelRun()
        of, run = self._labels
        run.add(label, self._start + len(label))
        of.separator, of.learned = ("\n\n" if self._blank else "\n"), of.items > 0
        of.items += 1
        if run.may_fork:
            self._emit(_Item(PLAIN_LABEL, self._start, of, self._level("label")), "colon", len(label))
        else:
            of.with_lead += 1

    def _open_item(self, marker: Marker) -> _Item:
        is_title = not self._text_before and marker.kind in ("heading", "label") and not marker.number
        of = self._continued(marker)
        if of is None:
            while self._lists and not _holds(self._lists[-1].last, marker):
                self._lists.pop()
            separator = _SEPARATORS[marker.kind] if self._blank or not self._text_before else "\n"
            of = _List(marker, self._start, marker.number, separator)
            if not is_title:
                self._lists.append(of)
        else:
            of.separator, of.learned = ("\n\n" if self._blank else "\n"), True
        of.before, of.last = of.last, marker
        of.items += 1
        return _Item(marker, self._start, of, self._level(marker.kind), is_title)

    def _level(self, kind: Kind) -> int:
        """How many lists, or sections, of those that are open hold an item of the last one."""
        alike = sum((one.last.kind in _LISTS) == (kind in _LISTS) for one in self._lists)
        return max(alike - 1, 0)

    def _continued(self, marker: Marker) -> _List | None:
        """The open list whose next item this is; those within it are over."""
        for k in reversed(range(len(self._lists))):
            last = self._lists[k].last
            if abs(last.column - marker.column) <= 1 and follows(marker, last):
                del self._lists[k + 1 :]
                return self._lists[k]
        return None

    def _end_line(self) -> None:
        line = self._line
        if self._mode == "item" and self._item is not None:
            if not self._end_lead(self._item) and line.may_lead_below():
                self._waiting = self._item
                self._waiting.line_lead = line.text.rstrip()
        elif self._mode == "label":
            self._end_labels()
        elif self._mode == "start" and line.text.strip():
            # A marker without content, or what looks like the beginning of one: neither is an item.
            self._waiting = None
            self._text_before = True
        if not self._opaque.inside:
            self._blank = 0 if line.text.strip() else self._blank + 1
        self._opaque.end_line(line.text)
        self._start += len(line.text) + 1
        self._line = Line(self._config)
        self._mode = "start"

    def _end_lead(self, item: _Item) -> bool:
        """The line of an item is complete; whether it is a lead then."""
        line = self._line
        end = line.end_of_line() or (line.bare_lead() if item.of.has_forked else 0)
        if end:
            self._emit(item, "line" if item.of.are_titles else line.form, end)
        return end > 0

    def _settle_waiting(self, line: str, marker: Marker | None) -> None:
        """A line begins behind one that may have been a lead: it was, if this line is its detail."""
        item, self._waiting = self._waiting, None
        if item is not None and self._is_under(item, line, marker):
            self._emit(item, "line", len(item.line_lead))

    def _is_under(self, item: _Item, line: str, marker: Marker | None) -> bool:
        """Whether the line, of which only the beginning is there, is of the detail of an item above it."""
        own = item.marker
        if own.kind == "label":
            return marker is None or marker.kind in ("bullet", "ordered")
        if marker is None:
            deeper = len(line) - len(line.lstrip()) >= len(own.indent) + _NESTED
            return deeper or not item.of.bare
        if marker.kind == "bullet" and own.kind == "ordered":
            return not self._blank or marker.column >= own.column + _NESTED
        return marker.column >= own.column + _NESTED

    def _emit(self, item: _Item | None, form: Form, end: int) -> None:
        """The lead of an item ended, `end` characters from the beginning of its line."""
        assert item is not None
        of, start = item.of, item.start
        if item.is_title or item.level >= self._levels:
            return
        lead = (item.line_lead or self._line.text)[:end]
        bare = of.bare
        of.with_lead += 1
        of.are_titles = form == "line"
        self._last = of
        self._found.append(
            LeadEnd(
                marker=item.marker,
                form=form,
                start=start,
                at=start + end,
                read=self.read,
                lead=lead,
                opening=of.opening,
                first_number=of.first_number,
                place=of.items - 1,
                bare=bare,
                level=item.level,
                separator=of.separator,
                learned=of.learned,
            )
        )


def _holds(outer: Marker, inner: Marker) -> bool:
    """Whether an item of another kind, or further in, stands in the item with the marker `outer`."""
    if inner.column >= outer.column + _NESTED:
        return True
    # Bullets under a number are often written without indentation.
    return inner.kind == "bullet" and outer.kind == "ordered" and inner.column >= outer.column
