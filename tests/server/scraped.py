"""Metrics as a scraper reads them, and answers to count."""

from __future__ import annotations

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families as parse

from apar.decoding.answer import Answer
from apar.decoding.group import Group
from apar.decoding.params import SamplingParams
from apar.engine.engine import Engine
from apar.server.metrics import Metrics

Series = tuple[str, frozenset[tuple[str, str]]]


def metrics() -> Metrics:
    return Metrics("local", "demo", "1.2.3")


def families(subject: Metrics) -> dict[str, Metric]:
    """What a scraper reads, by name; raises where the format is not valid."""
    body, _ = subject.render()
    return {family.name: family for family in parse(body.decode())}


def values(subject: Metrics) -> dict[Series, float]:
    samples = [sample for family in families(subject).values() for sample in family.samples]
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}


def value(subject: Metrics, name: str, **labels: str) -> float:
    return values(subject)[name, frozenset(labels.items())]


def answers(engine: Engine, number: int = 6, **params: object) -> list[Answer]:
    """Answers of an engine that forks often."""
    groups: list[Group] = [engine.add([5, k + 1], SamplingParams(max_tokens=30, **params)) for k in range(number)]
    while engine.groups:
        engine.step()
    return [Answer.of(group) for group in groups]
