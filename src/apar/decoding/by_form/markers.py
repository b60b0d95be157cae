"""Markers of items at the start of a line: what one is, whether a line may yet become one, and the next one.

What a marker is say the readers of whole answers (`apar.structure`): Markdown's own, those that Markdown does not
know ("1、", "（2）", "③", "一、", "•", "b)"), headings, and phrases in bold that open a line.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from apar.structure import markdown, pseudo_lists
from apar.structure.lists import LARGEST_FIRST_NUMBER, LARGEST_STEP

Kind = Literal["ordered", "bullet", "heading", "label"]
"""What an item is: of a numbered list, of one with bullets, a section under a heading, or a line that opens in bold."""

_TAB = 4
_INDENT = re.compile(r"[ \t]*")
_HEADING = re.compile(r"(#{1,6})[ \t]+(?=\S)")
_LABEL = re.compile(r"(\*\*|__)(?=[^\s*_])(?:(\d{1,2})([.)])[ \t]+(?=\S))?")
# A number that stands in the text of a heading or a label, and not in its marker.
_HEADING_NUMBER = re.compile(r"(?:\*\*)?(\d{1,2})([.)、])(?=\s|[\u4e00-\u9fff])")
_PERHAPS = re.compile(
    r"[ \t]*(?:\(?\d{0,9}[.)、．]?|（\d{0,2}）?|[-+•●◦▪‣·○■◆★✓✔➢►]|\*{1,2}|__?|(?:\*\*|__)\d{1,2}[.)]?"
    r"|#{1,6}(?:[ \t]+(?:\*\*)?\d{1,2}[.)、]?)?"
    r"|[一二三四五六七八九十]{1,3}[、.．]?|[(（][一二三四五六七八九十]{0,3}[)）]?、?|[①-⑳]|\(?[a-z]\)?)[ \t]*"
)
_DIGITS = re.compile(r"\d+")
_CHINESE = "零一二三四五六七八九十"


class Marker(NamedTuple):
    """The marker of an item: `text` with the white space behind it, after `indent` white space.

    `family` is what the markers of one list have in common. `number` is 0 where items are not numbered. The item's
    content begins at `content` in its line: in bold labels that is before the number.
    """

    indent: str
    text: str
    kind: Kind
    family: str
    number: int
    content: int

    @property
    def column(self) -> int:
        """How deep the item stands: of two items the one with the smaller column can hold the other."""
        if self.kind == "heading":
            return 3 * int(self.family[1]) - 40
        if self.kind == "label":
            return -4 if self.text else -2
        return width_of(self.indent)


def width_of(indent: str) -> int:
    """The columns of white space."""
    return len(indent.expandtabs(_TAB))


def opens_text(character: str) -> bool:
    """Whether no line that opens with the character has a marker: a capital letter, or a Chinese one but a number."""
    return character.isupper() or ("\u4e00" <= character <= "\u9fff" and character not in _CHINESE)


def read_marker(line: str) -> Marker | None:
    """The marker that opens a line, once something stands behind it; None where none does."""
    indent = _INDENT.match(line).group()  # type: ignore[union-attr]  # it matches nothing, too
    found = _of_markdown(line, indent) or _of_heading(line, indent) or _of_label(line, indent) or _other(line, indent)
    return found if found is None or found.number <= LARGEST_FIRST_NUMBER else None


def may_become_marker(line: str) -> bool:
    """Whether a line that goes on may turn out to open with a marker, or is one without content."""
    return _PERHAPS.fullmatch(line) is not None


def follows(marker: Marker, before: Marker) -> bool:
    """Whether an item of one list can stand behind another: of the same kind, and counting on."""
    if marker.family != before.family or bool(marker.number) != bool(before.number):
        return False
    # Some write "1." before every item.
    return not marker.number or marker.number == before.number == 1 or 0 < marker.number - before.number <= LARGEST_STEP


def renumbered(marker: Marker, number: int) -> str:
    """The text of the marker with another number, which may be none of its kind; the same where it has none."""
    if not marker.number:
        return marker.text
    if digits := _DIGITS.search(marker.text):
        return marker.text[: digits.start()] + _in_digits(number, digits.group()) + marker.text[digits.end() :]
    return marker.text.replace(_written(marker, marker.number), _written(marker, number), 1)


def _written(marker: Marker, number: int) -> str:
    family = marker.family
    if family.startswith("chinese"):
        return _in_chinese(number)
    return chr(ord("①" if family == "circle" else "a") + number - 1)


def _in_digits(number: int, before: str) -> str:
    """A number in digits as those of another one, which may be full-width."""
    zero = ord(before[0]) - int(before[0])
    return "".join(chr(zero + int(digit)) for digit in str(number))


def _in_chinese(number: int) -> str:
    if number <= 10:
        return _CHINESE[number]
    tens, ones = divmod(number, 10)
    return ("" if tens == 1 else _CHINESE[tens]) + "十" + (_CHINESE[ones] if ones else "")


def _of_markdown(line: str, indent: str) -> Marker | None:
    found = markdown.MARKER.match(line, len(indent))
    if found is None or found.end() == len(line):
        return None
    kind: Kind = "ordered" if found[1] else "bullet"
    return Marker(indent, found.group(), kind, found[2] or found.group().strip(), int(found[1] or 0), found.end())


def _of_heading(line: str, indent: str) -> Marker | None:
    found = _HEADING.match(line, len(indent))
    if found is None:
        return None
    number = _HEADING_NUMBER.match(line, found.end())
    text = line[len(indent) : found.end()] + _number_text(line, number)
    family = f"#{len(found[1])}" + (number[2] if number else "")
    return Marker(indent, text, "heading", family, int(number[1]) if number else 0, found.end())


def _number_text(line: str, number: re.Match[str] | None) -> str:
    if number is None:
        return ""
    space = _INDENT.match(line, number.end())
    return number.group() + (space.group() if space else "")


def _of_label(line: str, indent: str) -> Marker | None:
    found = _LABEL.match(line, len(indent))
    if found is None:
        return None
    family = found[1] + (found[3] or "")
    return Marker(indent, found.group(), "label", family, int(found[2] or 0), len(indent))


def _other(line: str, indent: str) -> Marker | None:
    found = pseudo_lists.MARKER.match(line)
    if found is None:
        return None
    marked = pseudo_lists.marked_line(found)
    kind: Kind = "ordered" if marked.number else "bullet"
    family = marked.family if marked.number else line[len(indent)]
    return Marker(indent, line[len(indent) : marked.content], kind, family, marked.number, marked.content)
