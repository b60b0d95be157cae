"""Comparisons prompt by prompt."""

from __future__ import annotations

import pytest

from apar.eval.paired import difference, mcnemar, ratios


def test_ratios_are_of_each_pair_and_of_the_sums() -> None:
    found = ratios([2.0, 3.0, 40.0], [1.0, 1.0, 10.0])
    assert found is not None
    assert found["prompts"] == 3
    assert found["mean"]["value"] == pytest.approx(3)
    assert found["median"]["value"] == 3
    assert found["total"]["value"] == pytest.approx(45 / 12)
    assert found["mean"]["low"] <= 3 <= found["mean"]["high"]


def test_a_pair_without_a_lower_value_has_no_ratio() -> None:
    found = ratios([2.0, 3.0], [1.0, 0.0])
    assert found is not None
    assert found["prompts"] == 1
    assert ratios([1.0], [0.0]) is None


def test_a_difference_that_is_the_same_everywhere_has_no_width() -> None:
    found = difference([1.0, 2.0, 3.0], [0.5, 1.5, 2.5])
    assert found is not None
    assert (found["first"], found["second"]) == (2.0, 1.5)
    assert found["difference"] == {"value": 0.5, "low": 0.5, "high": 0.5}


def test_mcnemar_counts_what_one_alone_passes() -> None:
    found = mcnemar([True] * 5 + [False] * 3 + [True], [False] * 5 + [False] * 3 + [True])
    assert found is not None
    assert (found["only_first"], found["only_second"]) == (5, 0)
    assert found["p"] == pytest.approx(2 / 2**5)
    assert found["difference"]["value"] == pytest.approx(5 / 9)


@pytest.mark.parametrize(("one", "other"), [(3, 3), (0, 0), (4, 3)])
def test_equal_counts_say_nothing_against_being_equally_good(one: int, other: int) -> None:
    first = [True] * one + [False] * other + [True]
    second = [False] * one + [True] * other + [True]
    found = mcnemar(first, second)
    assert found is not None
    assert found["p"] == 1


def test_there_is_no_figure_without_pairs() -> None:
    assert difference([], []) is None
    assert mcnemar([], []) is None
