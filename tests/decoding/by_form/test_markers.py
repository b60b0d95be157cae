"""Markers of list items, and the one that comes next."""

from __future__ import annotations

import pytest

from apar.decoding.by_form.markers import follows, may_become_marker, read_marker, renumbered


@pytest.mark.parametrize(
    ("line", "text", "number", "next_text"),
    [
        ("1. Plan", "1. ", 1, "2. "),
        ("9) Plan", "9) ", 9, "10) "),
        ("- Plan", "- ", 0, "- "),
        ("  * Plan", "* ", 0, "* "),
        ("## Plan", "## ", 0, "## "),
        ("### 2. Plan", "### 2. ", 2, "### 3. "),
        ("**Plan", "**", 0, "**"),
        ("**2. Plan", "**2. ", 2, "**3. "),
        ("1、优点", "1、", 1, "2、"),
        ("（2）优点", "（2）", 2, "（3）"),
        ("十、优点", "十、", 10, "十一、"),
        ("十九、优点", "十九、", 19, "二十、"),
        ("③优点", "③", 3, "④"),
        ("b) plan", "b) ", 2, "c) "),
        ("１. Plan", "１. ", 1, "２. "),
        ("（９）优点", "（９）", 9, "（１０）"),
        ("### ２. Plan", "### ２. ", 2, "### ３. "),
    ],
)
def test_a_marker_and_the_next(line: str, text: str, number: int, next_text: str) -> None:
    marker = read_marker(line)
    assert marker is not None
    assert (marker.text, marker.number) == (text, number)
    assert renumbered(marker, number + 1) == next_text


@pytest.mark.parametrize("line", ["Plan", "1995. It", "3.14 is", "10:30", "-n", "*Plan*", "#tag", "---", "```", ""])
def test_no_marker(line: str) -> None:
    assert read_marker(line) is None


@pytest.mark.parametrize("line", ["", "  ", "1", "12", "1.", "1. ", "-", "**", "**1", "##", "（", "十", "a", "(3"])
def test_a_line_that_may_become_one(line: str) -> None:
    assert may_become_marker(line)


@pytest.mark.parametrize("line", ["P", "1x", "--", "***", "10:", "ab", "#x"])
def test_a_line_that_will_not(line: str) -> None:
    assert not may_become_marker(line)


@pytest.mark.parametrize(
    ("before", "line", "is_next"),
    [
        ("1. a", "2. b", True),
        ("1. a", "4. b", True),
        ("1. a", "5. b", False),
        ("3. a", "1. b", False),
        ("1. a", "1. b", True),
        ("1. a", "2) b", False),
        ("- a", "- b", True),
        ("- a", "* b", False),
        ("## a", "### b", False),
    ],
)
def test_which_markers_follow_each_other(before: str, line: str, is_next: bool) -> None:
    one, other = read_marker(before), read_marker(line)
    assert one is not None
    assert other is not None
    assert follows(other, one) is is_next
