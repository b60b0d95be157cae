"""Plain labels: lines in a row that open like "Cost: …", without marker and bold.

What a label is says extraction (`apar.structure.leads`). One line alone may open so by chance: it is the later ones
that fork, and only where those before had something to say, as a form ("Name: Ann") has not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from apar.decoding.by_form.markers import Marker
from apar.structure.cjk import width
from apar.structure.leads import label_end

MARKER = Marker("", "", "label", "plain", 0, 0)
"""The marker of such a line: none is written."""

LONGEST_LABEL = 62
"""The line so far is looked at up to here."""

# A shorter text behind a label is an entry of a form, or a short turn of a dialogue.
_LEAST_DETAIL = 40
# A label of one word may be a speaker's name; of two speakers the third line has a name again.
_WORDS_BEFORE = 2
_OPENS = re.compile(r"[A-Z\u4e00-\u9fff]")
_MAY_BECOME = re.compile(r"[A-Z][^.!?:;\n]{0,58}[:：]?|[\u4e00-\u9fff][^。！？:：；，\n]{0,24}[:：]?")


def opens_label(line: str) -> bool:
    """Whether a line that begins so may have a label."""
    return _OPENS.match(line) is not None


def may_become_label(line: str) -> bool:
    """Whether a line that goes on may turn out to have a label."""
    return _MAY_BECOME.fullmatch(line) is not None


def plain_label_end(line: str) -> int | None:
    """Where a label ends that opens the line, which has a character behind it; None where there is none."""
    # Behind a Chinese label there is no space.
    return label_end(line) or label_end(f"{line.rstrip()}x")


@dataclass(slots=True)
class LabelRun:
    """Labels in a row. `detail_from` is where the text behind the last one begins, None where a child writes it."""

    said: set[str] = field(default_factory=set)
    detail_from: int | None = None

    def goes_on(self, label: str, text: str, start: int) -> bool:
        """Whether a line at `start` of the text, with that label, belongs to the row."""
        if label in self.said:
            return False
        return self.detail_from is None or width(text[self.detail_from : start].strip()) >= _LEAST_DETAIL

    def add(self, label: str, detail_from: int) -> None:
        """The row goes on with a label."""
        self.said.add(label)
        self.detail_from = detail_from

    @property
    def has_forked(self) -> bool:
        """Whether the text behind the last label is written by a child."""
        return bool(self.said) and self.detail_from is None

    @property
    def may_fork(self) -> bool:
        """Whether there are enough labels for the last one to fork."""
        names = all(len(label.split()) == 1 and label.isascii() for label in self.said)
        return len(self.said) > (_WORDS_BEFORE if names else 1)
