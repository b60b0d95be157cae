"""The report of a load, from timings that are made up."""

from __future__ import annotations

from apar.bench.replay import LoadResult
from apar.bench.throughput import load_figures, percentile


def test_the_figures_are_medians_of_the_rounds() -> None:
    loads = [LoadResult(seconds, 50, 600, (1.0, 3.0), 8, 4.0, 1) for seconds in (2.0, 3.0, 60.0)]
    figures = load_figures(loads)
    assert figures.rate == 200.0
    assert figures.seconds == 3.0
    assert figures.latency_mean == 2.0
    assert figures.latency_p95 == 3.0
    assert figures.preemptions == 1


def test_a_percentile_is_the_least_value_that_the_share_does_not_exceed() -> None:
    values = [float(number) for number in range(1, 101)]
    assert percentile(values, 0.95) == 95.0
    assert percentile([7.0], 0.95) == 7.0
    assert percentile([1.0, 2.0], 0.5) == 1.0
