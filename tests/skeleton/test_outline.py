"""The points of an outline, as small models write them."""

from __future__ import annotations

import pytest

from apar.skeleton.outline import MAX_POINTS, points_of
from apar.skeleton.prompts import outline_request, point_request


@pytest.mark.parametrize(
    ("outline", "points"),
    [
        ("1. Sleep early\n2. Eat well", ["Sleep early", "Eat well"]),
        ("1.Sleep early\n\n  2) Eat well \n", ["Sleep early", "Eat well"]),
        ("1. Sleep early\n- at ten\n2. Eat well\nThat is all.", ["Sleep early", "Eat well"]),
        ("1. Same\n2. Same\n3. Other", ["Same", "Same", "Other"]),
        ("1.\n2. Only this", ["Only this"]),
        ("1.5 hours of sleep", []),
        ("There is no outline.", []),
        ("", []),
    ],
)
def test_points_stand_behind_numbers(outline: str, points: list[str]) -> None:
    assert points_of(outline) == points


def test_an_outline_that_never_ends_is_cut() -> None:
    assert points_of("\n".join(f"{n}. Point {n}" for n in range(1, 100))) == [
        f"Point {n}" for n in range(1, MAX_POINTS + 1)
    ]


def test_a_point_is_asked_for_with_the_question_and_the_whole_outline() -> None:
    [outline] = outline_request("Why {so}?")
    assert "Why {so}?" in outline["content"]
    [message] = point_request("Why {so}?", ["One", "Two"], 2)
    for told in ("Why {so}?", "1. One\n2. Two", "point 2"):
        assert told in message["content"]
