"""The dashboard and the alerts ask for metrics, labels and values that the server really has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.deploy.files import DEPLOY, read_yaml
from tests.server.scraped import values
from tests.server.test_metrics import everything

FUNCTIONS = {"histogram_quantile", "increase", "rate", "sum"}
GIVEN = {"instance", "job"}
"""Labels that Prometheus adds."""

SELECTOR = re.compile(r"(\w+)\{([^}]*)\}")
MATCHER = re.compile(r'(\w+)(=~|!=|!~|=)"([^"]*)"')


def dashboard() -> Any:
    return json.loads((DEPLOY / "grafana" / "dashboards" / "apar.json").read_text("utf-8"))


def panels() -> list[Any]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def rules() -> list[Any]:
    return [rule for group in read_yaml("alerts.yml")["groups"] for rule in group["rules"]]


def expressions() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"]] + [rule["expr"] for rule in rules()]


def names(expression: str) -> set[str]:
    """The metrics that an expression asks for: words that are neither functions, labels, values nor durations."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(by|without)\s*\([^)]*\)", " ", expression)
    return set(re.findall(r"\b[a-z_]\w+", bare)) - FUNCTIONS


@pytest.fixture(scope="module")
def known() -> dict[str, dict[str, set[str]]]:
    """The samples that the server has, each with the values of its labels."""
    told: dict[str, dict[str, set[str]]] = {"up": {}}
    for name, labels in values(everything()):
        found = told.setdefault(name, {})
        for label, value in labels:
            found.setdefault(label, set()).add(value)
    return told


def selectors() -> Iterator[tuple[str, str, str, str]]:
    for expression in expressions():
        for name, inside in SELECTOR.findall(expression):
            for label, operator, value in MATCHER.findall(inside):
                yield name, label, operator, value


def test_every_metric_that_is_asked_for_is_there(known: dict[str, dict[str, set[str]]]) -> None:
    asked = {name for expression in expressions() for name in names(expression)}
    assert len(asked) > 25
    assert asked <= known.keys()


def test_every_metric_is_asked_for_with_labels_and_values_that_it_has(known: dict[str, dict[str, set[str]]]) -> None:
    assert len(list(selectors())) > 50
    for name, label, operator, value in selectors():
        assert label in GIVEN or label in known[name], f"{name} has no label {label}"
        if operator == "=" and label not in GIVEN:
            assert value in known[name][label], f"{label} of {name} is never {value}"


def test_what_is_grouped_by_is_a_label_of_the_metric(known: dict[str, dict[str, set[str]]]) -> None:
    groups = [
        match
        for text in expressions()
        for match in re.findall(r"sum by \(([^)]*)\) \((?:rate\(|increase\()?(\w+)", text)
    ]
    assert len(groups) > 20
    for labels, name in groups:
        for label in labels.split(", "):
            assert label in GIVEN or label in known[name], f"{name} has no label {label}"


def test_rates_are_of_counters_and_histograms_only() -> None:
    for expression in expressions():
        for name in re.findall(r"(?:rate|increase)\((\w+)", expression):
            assert re.search("_(total|bucket|sum|count)$", name), expression


def test_brackets_close() -> None:
    for expression in expressions():
        for opening, closing in ("()", "{}", "[]"):
            assert expression.count(opening) == expression.count(closing), expression


def test_variables_of_the_dashboard_are_declared_and_used() -> None:
    declared = {variable["name"] for variable in dashboard()["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z]\w*)", json.dumps(dashboard())))
    assert declared == used == {"datasource", "instance", "mode"}


def test_modes_of_the_dashboard_are_those_of_answers(known: dict[str, dict[str, set[str]]]) -> None:
    [mode] = [variable for variable in dashboard()["templating"]["list"] if variable["name"] == "mode"]
    assert set(mode["query"].split(",")) == known["apar_visible_tokens_total"]["mode"]


def test_panels_lie_side_by_side_and_have_their_own_numbers() -> None:
    every = dashboard()["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    taken: set[tuple[int, int]] = set()
    for panel in every:
        place = panel["gridPos"]
        cells = {(place["x"] + i, place["y"] + j) for i in range(place["w"]) for j in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


def test_panels_say_what_they_show() -> None:
    assert len(panels()) > 20
    assert all(panel["title"] and panel["description"] for panel in panels())


def test_the_dashboard_tells_of_all_that_an_operator_asks_for() -> None:
    asked = {name for panel in panels() for target in panel["targets"] for name in names(target["expr"])}
    wanted = ["visible_tokens", "first_token", "queue", "threads", "kv_blocks", "preemptions", "refused", "cancelled"]
    assert all(any(part in name for name in asked) for part in wanted)


def test_every_alert_says_what_it_means_and_what_to_do() -> None:
    assert len(rules()) >= 5
    for rule in rules():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"].keys() == {"summary", "description"}
        assert "{{ $labels.instance }}" in rule["annotations"]["summary"]
