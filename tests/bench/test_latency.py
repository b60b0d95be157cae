"""The report of batch 1, from timings that are made up."""

from __future__ import annotations

import pytest

from apar.bench.latency import Replayed, latency_by_category, latency_figures
from apar.bench.replay import ReplayResult


def replayed(category: str, sequential: tuple[float, int], forked: tuple[float, int], tokens: int = 100) -> Replayed:
    runs = [ReplayResult(seconds, passes, 0.5, 10 * passes, float(passes)) for seconds, passes in (sequential, forked)]
    return Replayed("1", category, tokens, 5, 3, 400, 200, *runs)


def test_the_figures_follow_from_sums_over_the_answers() -> None:
    figures = latency_figures([replayed("a", (4.0, 100), (1.0, 20)), replayed("a", (2.0, 100), (2.0, 60))])
    assert figures.tokens == 200
    assert figures.rate_sequential == pytest.approx(200 / 6)
    assert figures.rate_forked == pytest.approx(200 / 3)
    assert figures.latency_sequential == 3.0
    assert figures.latency_forked == 1.5
    assert figures.speedup.value == 2.0
    assert figures.mean_speedup.value == 2.5
    assert figures.step_ratio.value == 2.5
    assert figures.share.value == pytest.approx(0.8)
    assert figures.kv_peak_sequential == 1000
    assert figures.kv_mean_forked == 40
    assert figures.attended_ratio.value == 2.0


def test_categories_come_in_order_and_all_last() -> None:
    answers = [replayed("b", (1.0, 9), (1.0, 9)), replayed("a", (2.0, 9), (1.0, 9))]
    found = latency_by_category(answers)
    assert list(found) == ["a", "b", "all"]
    assert found["a"].speedup.value == 2.0
    assert found["all"].speedup.value == 1.5
