"""The thread that writes a list after its items' details were given to children: what is forced on it, and its end.

After a lead the parent writes what separates the items of its list, and the marker of the next one: that is known and
need not be sampled. Whether there is a next item the model says itself: the separator is forced, and if what it then
writes begins the marker, the rest of the marker is forced, too. Where the list must go on (a second item, or as many as
the prompt asks for) all of it is forced at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from apar.decoding.by_form.counts import asked_items
from apar.decoding.by_form.line import SENTENCE_ENDS
from apar.decoding.by_form.markers import Marker, follows, may_become_marker, read_marker, renumbered
from apar.decoding.by_form.reader import LeadEnd
from apar.decoding.leads import normalized
from apar.structure.config import DEFAULT
from apar.structure.phrases import CLOSING

Action = Literal["go", "force", "end", "again"]
EndReason = Literal["count", "repeated", "restarted", "detail", "empty"]
"""Why a list ends: it is as long as it may be, says a lead again, is begun anew, goes on with its last item, or has an
empty item next."""

# Opens a paragraph about the last item; "these" speaks of all of them.
_OF_LAST_ITEM = re.compile(r"[*_]*(?:(?:This|It|He|She|They|That|Its|His|Her|Their)\b|这(?![些样])|它|他|她)")
# So many characters of what is no item are looked at before they count as a closing paragraph.
_OPENING_CHARS = 24
# How often a lead that repeats another one is written again, where the list must go on.
_MOST_TRIES = 3
# A longer line of an item has no lead any more.
_LONGEST_LEAD = DEFAULT.max_lead_chars + 16
# What may stand around the words of an item.
_NO_WORDS = " \t*_"
# The last letter of a word; in Chinese and Japanese each may be one.
_WORD_END = re.compile(r"[^\W_](?![^\W_\u3040-\u9fff])|[\u3040-\u9fff]")
_SHORT_LEAD = 2


class Step(NamedTuple):
    """What the thread does next: it goes on, it is forced to say `text`, it writes its last lead again, or it ends.

    `keep` is how many characters of the thread's text are sure to stay. What is behind them is not to be shown yet, and
    is dropped where the thread ends; `reason` says why it does.
    """

    action: Action
    keep: int
    text: str = ""
    reason: EndReason | None = None


@dataclass(slots=True)
class _Listed:
    """The list that is being written: what its leads said, and whether all of them are bold."""

    last: Marker
    said: set[str] = field(default_factory=set)
    items: int = 0
    least: int = 0  # items that the prompt asks for
    all_bold: bool = True
    is_full: bool = False
    tries: int = 0  # at the lead that is being written


class ParentRules:
    """Drives one thread. `prompt` may ask for so many items; give "" for threads that are children.

    `max_items` bounds every list of the thread. The items up to `sure_items` are not the model's choice.
    """

    __slots__ = (
        "_asked",
        "_from",
        "_is_open",
        "_length",
        "_listed",
        "_marker",
        "_max_items",
        "_state",
        "_sure",
        "_written",
    )

    def __init__(self, prompt: str, max_items: int | None = None, sure_items: int = 2) -> None:
        self._asked = asked_items(prompt) if prompt else None
        self._max_items = max_items
        self._sure = sure_items
        self._listed: dict[int, _Listed] = {}  # by where a list begins
        self._state: Literal["free", "choosing", "opening", "lead"] = "free"
        self._is_open = False  # an item behind a fork, which has no lead yet
        self._from = 0  # where what may be dropped begins: at the separator before the item
        self._length = 0
        self._marker = ""  # the one that is expected
        self._written = ""  # since the separator

    def fork(self, lead: LeadEnd, tail: str = "", told: int | None = None, is_last: bool = False) -> Step:
        """A lead ended and may fork. Call before the fork is carried out: where the thread is to end, it does not fork.

        `tail` is what the thread wrote behind the lead and keeps, of which `told` characters are told (None: all);
        `is_last` says that there is no thread for another fork. Returns what is forced behind it.
        """
        listed = self._listed.setdefault(lead.opening, _Listed(lead.marker))
        begin = lead.start if self._state == "free" else self._from
        words = normalized(lead.lead)
        if listed.is_full:
            return self._end(begin, "count")
        if words in listed.said:
            return self._say_again(lead, listed, begin)
        listed.said.add(words)
        listed.tries = 0
        listed.last = lead.marker
        listed.items, listed.least = lead.place + 1, self._least(lead)
        listed.all_bold = listed.all_bold and lead.is_bold
        self._length = lead.at + len(tail)
        self._from = self._length if told is None else lead.at + told
        following = _next_marker(lead)
        listed.is_full = is_last or following is None or listed.items >= self._limit(lead)
        breaks: str = "\n\n" if listed.is_full else lead.separator
        breaks = breaks[_line_breaks_at_end(tail) :]
        if listed.is_full or following is None:
            return self._force("choosing", breaks, "")
        # Tokenizers join the white space behind a marker to the word that follows.
        marker = f"{following}**" if _adds_bold(lead, listed) else following.rstrip(" \t")
        if listed.items < max(self._sure, listed.least):
            return self._force("lead", breaks + marker, marker)
        return self._force("choosing", breaks, marker)

    def has_forked(self, lead: LeadEnd) -> bool:
        """Whether an item before this one has its detail from a child. Then the thread sees a list of bare leads."""
        return lead.opening in self._listed

    def threads_for(self, lead: LeadEnd) -> int:
        """How many threads there must be for the rest of the list, if the item is to fork."""
        if self.has_forked(lead):
            return 1
        items = max(self._sure, self._least(lead))
        return items if self._max_items is None else min(items, self._max_items)

    def again(self, at: int) -> int:
        """The lead is written again, from the character `at` on; how many characters of the text are sure to stay."""
        self._written = self._written[: at - (self._length - len(self._written))]
        self._length = at
        return self._from

    def feed(self, piece: str) -> Step:
        """The thread sampled `piece` behind what was forced."""
        self._length += len(piece)
        self._written += piece
        if self._state == "choosing":
            return self._choose()
        if self._state == "opening":
            return self._open_paragraph()
        if self._is_empty:
            return self._end(self._from, "empty")
        if self._state == "lead" and not self._may_repeat():
            self._state = "free"
        self._is_open = self._is_open and not self._is_no_lead()
        return self._go()

    def finish(self, is_cut: bool = False) -> int:
        """The thread ends: how many characters of its text stay.

        An item without a lead goes, unless it is a sentence, and one that `is_cut` by a limit.
        """
        is_sentence = self._state == "free" and self._written.rstrip().endswith(SENTENCE_ENDS)
        is_dropped = self._is_open and (is_cut or not is_sentence)
        return self._from if self._state in ("choosing", "lead") or is_dropped else self._length

    @property
    def is_at_line(self) -> bool:
        """Whether no line break may come: behind those that were forced, and in an item that has no text yet."""
        return (self._state == "choosing" and not self._written) or self._has_no_words

    @property
    def _has_no_words(self) -> bool:
        """Whether nothing stands behind the marker of the item that is being written."""
        if self._state != "lead":
            return False
        line = self._written.lstrip("\n").removeprefix(self._marker).partition("\n")[0]
        return not line.strip(_NO_WORDS)

    @property
    def _is_empty(self) -> bool:
        """Whether the line of the item that is being written is complete, with nothing behind its marker."""
        return self._has_no_words and "\n" in self._written.lstrip("\n")

    @property
    def open_item(self) -> int | None:
        """Where an item begins that has no lead yet, but may get one; None where there is none."""
        return self._from if self._is_open else None

    @property
    def may_end(self) -> bool:
        """Whether the model may end the thread: in an item that may get a lead, or before the next one, only where the
        list has as many items as the prompt asks for."""
        if not self._listed or (self._state == "free" and not self._is_open):
            return True
        listed = next(reversed(self._listed.values()))
        return listed.is_full or listed.items >= listed.least

    def _choose(self) -> Step:
        """What stands behind the separator: the next item's marker, another text, or neither yet."""
        written = self._written.lstrip("\n")
        listed = next(reversed(self._listed.values()))
        if not written.strip():
            return self._go()
        if self._marker and self._marker.startswith(written):
            return self._force("lead", self._marker[len(written) :], self._marker)
        if self._marker and written.startswith(self._marker):
            return self._begin_lead()
        if may_become_marker(written):
            return self._go()
        marker = read_marker(written)
        if marker is None or marker.column < listed.last.column:
            self._state = "opening"
            return self._open_paragraph()
        if listed.is_full:
            return self._end(self._from, "count")
        if follows(marker, listed.last):
            return self._begin_lead()
        return self._end(self._from, "restarted" if marker.family == listed.last.family else "detail")

    def _begin_lead(self) -> Step:
        self._state, self._is_open = "lead", True
        return self._end(self._from, "empty") if self._is_empty else self._go()

    def _open_paragraph(self) -> Step:
        """A paragraph begins. It closes the list, unless it goes on with its last item or says a lead again."""
        written = self._written.strip()
        if len(written) < _OPENING_CHARS and "\n" not in written:
            return self._go()
        listed = next(reversed(self._listed.values()))
        if not CLOSING.match(written):
            if _opens_with_any(written, listed.said):
                return self._end(self._from, "repeated")
            if _OF_LAST_ITEM.match(written):
                return self._end(self._from, "detail")
        self._state = "free"
        return self._go()

    def _may_repeat(self) -> bool:
        """Whether the item that is being written may yet become one that was."""
        listed = next(reversed(self._listed.values()))
        words = normalized(self._written)
        return not words or any(lead.startswith(words) for lead in listed.said)

    def _is_no_lead(self) -> bool:
        """Whether the item that is being written has turned out to have no lead: nothing would come behind it."""
        written = self._written.lstrip("\n")
        return len(written) > _LONGEST_LEAD or "\n" in written

    def _limit(self, lead: LeadEnd) -> int:
        limits = [one for one in (self._max_items, self._least(lead) or None) if one is not None]
        return min(limits, default=lead.place + 2)

    def _say_again(self, lead: LeadEnd, listed: _Listed, begin: int) -> Step:
        """A lead repeats another one: it is written again where the list must go on, else the list ends before it."""
        listed.tries += 1
        is_short = listed.items < max(self._sure, self._least(lead))
        if self._state == "lead" and is_short and listed.tries <= _MOST_TRIES:
            return Step("again", begin)
        return self._end(begin, "repeated")

    def _least(self, lead: LeadEnd) -> int:
        """How many items the list is to have; 0 where nobody asked."""
        is_first = lead.opening == next(iter(self._listed), lead.opening)
        is_asked_for = self._asked is not None and not lead.level and is_first
        return self._asked or 0 if is_asked_for else 0

    def _force(self, state: Literal["choosing", "lead"], text: str, marker: str) -> Step:
        self._state, self._marker, self._is_open = state, marker, state == "lead"
        self._written = marker if state == "lead" else ""
        self._length += len(text)
        return Step("force" if text else "go", self._from, text)

    def _go(self) -> Step:
        return Step("go", self._length if self._state == "free" else self._from)

    def _end(self, keep: int, reason: EndReason) -> Step:
        self._state = "free"
        return Step("end", keep, reason=reason)


def _next_marker(lead: LeadEnd) -> str | None:
    """The marker of the next item, with its indentation; None where there is none behind the last one, as "z)".

    Some write "1." before every item.
    """
    marker = lead.marker
    same = not marker.number or (lead.place and marker.number == lead.first_number)
    text = marker.indent + (marker.text if same else renumbered(marker, marker.number + 1))
    if same:
        return text
    found = read_marker(f"{text}x")
    return text if found is not None and follows(found, marker) else None


def _opens_with_any(text: str, leads: set[str]) -> bool:
    """Whether a text opens with one of the leads, in whole words. A lead of one or two letters tells nothing."""
    opening = (normalized(text[: word.end()]) for word in _WORD_END.finditer(text))
    said = {lead.rstrip("：") for lead in leads if len(lead) > _SHORT_LEAD}
    return any(words in said for words in opening)


def _adds_bold(lead: LeadEnd, listed: _Listed) -> bool:
    """Whether the marker is followed by the mark of bold; that of a label opens with it."""
    return listed.all_bold and lead.kind != "label" and lead.content.startswith("**")


def _line_breaks_at_end(tail: str) -> int:
    return min(len(tail) - len(tail.rstrip("\n")), 2)
