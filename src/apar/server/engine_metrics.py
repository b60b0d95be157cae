"""The figures of the engine in process, as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import Metric
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from apar.decoding.answer import summed
from apar.decoding.statistics import EngineStatistics


class EngineCollector(Collector):
    """Asks `statistics` for the engine's figures when they are read. Tells nothing while it is None."""

    def __init__(self) -> None:
        self.statistics: Callable[[], EngineStatistics] | None = None

    def collect(self) -> Iterator[Metric]:
        if self.statistics is None:
            return
        now = self.statistics()
        yield from _present(now)
        yield from _counted(now)


def _present(now: EngineStatistics) -> Iterator[Metric]:
    """What the engine is doing."""
    yield _gauges(
        "apar_engine_requests",
        "Requests in the engine, by state.",
        "state",
        {"waiting": now.waiting, "running": now.running},
    )
    blocks = {"held": now.blocks_held, "cached": now.blocks_cached, "free": now.blocks_free - now.blocks_cached}
    yield _gauges("apar_engine_blocks", "KV blocks: held, free but with a prompt's KV, and free.", "state", blocks)
    yield GaugeMetricFamily("apar_engine_threads", "Live threads of the running requests.", now.threads)
    yield GaugeMetricFamily("apar_engine_rows", "Rows of the last forward pass.", now.rows)
    yield GaugeMetricFamily("apar_engine_fed_tokens", "Tokens that the last forward pass was fed.", now.fed_tokens)


def _counted(now: EngineStatistics) -> Iterator[Metric]:
    """What it has done since it was made."""
    counts = {
        "apar_engine_passes": ("Forward passes.", now.passes),
        "apar_engine_preemptions": ("Times that a request or a thread lost its blocks.", now.preemptions),
        "apar_engine_forks": ("Forks, those of requests under way among them.", now.forks),
        "apar_engine_prompt_tokens": ("Prompt tokens of requests that began to run.", now.prompt_tokens),
        "apar_engine_cached_tokens": ("Prompt tokens that were found in the cache.", now.cached_tokens),
        "apar_engine_visible_tokens": ("Visible tokens decoded.", now.visible_tokens),
        "apar_engine_failed": ("Requests that failed in the engine.", now.failed),
        "apar_engine_cancelled": ("Requests cancelled in the engine.", now.cancelled),
    }
    for name, (text, count) in counts.items():
        yield CounterMetricFamily(name, text, count)
    yield _counters("apar_engine_finished", "Requests finished in the engine.", "reason", now.finished)
    accepted = summed([[0] * len(now.drafted_by_depth), now.accepted_by_depth])
    for name, text, by_depth in (
        ("apar_engine_draft_tokens", "Draft tokens that were verified, by their place.", now.drafted_by_depth),
        ("apar_engine_accepted_tokens", "Draft tokens that were right, by their place.", accepted),
    ):
        yield _counters(name, text, "position", {str(depth): count for depth, count in enumerate(by_depth)})


def _counters(name: str, text: str, label: str, values: Mapping[str, int]) -> CounterMetricFamily:
    counter = CounterMetricFamily(name, text, labels=[label])
    for value, number in values.items():
        counter.add_metric([value], number)
    return counter


def _gauges(name: str, text: str, label: str, values: dict[str, int]) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(name, text, labels=[label])
    for value, number in values.items():
        gauge.add_metric([value], number)
    return gauge
