"""Intervals: around the figure, narrow where answers agree, the same every time."""

from __future__ import annotations

import pytest

from apar.intervals import ratio_interval


def test_the_value_is_the_ratio_of_the_sums() -> None:
    found = ratio_interval([2.0, 9.0, 4.0], [1.0, 3.0, 1.0])
    assert found.value == 3.0
    assert 2.0 <= found.low <= found.value <= found.high <= 4.0


def test_answers_that_agree_have_no_spread() -> None:
    found = ratio_interval([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    assert (found.low, found.high) == (pytest.approx(2.0), pytest.approx(2.0))


def test_more_answers_make_it_narrower_and_the_draws_are_the_same_every_time() -> None:
    few, many = ([1.0, 3.0] * 3, [1.0, 1.0] * 3), ([1.0, 3.0] * 50, [1.0, 1.0] * 50)
    wide, narrow = ratio_interval(*few), ratio_interval(*many)
    assert narrow.high - narrow.low < wide.high - wide.low
    assert ratio_interval(*many) == narrow
