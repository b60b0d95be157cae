"""The report's figures are those of the trees, its counts add up, and its memory is bounded."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apar.corpus import report as report_module
from apar.corpus.report import Report
from apar.corpus.totals import LENGTH_EDGES, Histogram, Summary, summarize
from apar.data.raw import BrokenRecord, SourceLocation
from apar.data.records import TreeRecord
from apar.data.token_counter import word_counter
from apar.stats import tree_stats
from tests.corpus.records import FORKING, NESTED, REFUSED, STORY, record

COUNTER = word_counter()
RECORDS = [
    record(FORKING, "s1", model="m", lang="en", license="MIT"),
    record(NESTED, "s1", model="m", lang="en"),
    record("A plain answer.", "s1", lang="en"),
    record(STORY, "s2", model="n"),
    record(REFUSED, "s2", model="n"),
]


def summaries() -> list[Summary]:
    return [summarize(one, COUNTER, "jsonl messages") for one in RECORDS]


@pytest.fixture
def report() -> Report:
    report = Report(COUNTER.name)
    for number, one in enumerate(summaries()):
        report.add(one, held_out=number == 1)
    return report


def test_the_counts_add_up(report: Report) -> None:
    data = report.to_dict()
    assert (data["answers"], data["held_out"]) == (5, 1)
    assert sum(data["by_rule"].values()) == 5
    assert sum(data["by_reason"].values()) == 5 - data["structured"]["answers"]
    assert sum(data["by_kind"].values()) == sum(data["depth"].values()) == 5
    assert data["by_kind"]["structured"] == data["structured"]["answers"] == 3
    assert data["by_format"] == {"jsonl messages": 5}
    assert data["by_licence"] == {"not stated": 4, "MIT": 1}
    assert {name: one["answers"] for name, one in data["by_source_figures"].items()} == {"s1": 3, "s2": 2}
    assert {name: one["answers"] for name, one in data["by_model_figures"].items()} == {"m": 2, "n": 2}
    assert sum(data["by_source_figures"]["s1"]["by_rule"].values()) == 3
    assert data["token_counter"] == "words and punctuation"


def test_groups_refused_inside_a_structured_answer_are_counted(report: Report) -> None:
    inside = RECORDS[4]
    assert inside.reason is None
    assert inside.refusals
    assert report.to_dict()["refused_groups"][inside.refusals[0].reason] >= 1


def test_the_figures_are_those_of_the_trees(report: Report) -> None:
    data = report.to_dict()
    stats = [tree_stats(one.tree, COUNTER.count) for one in RECORDS]
    whole = data["all"]
    assert whole["tokens"] == sum(one.tokens for one in stats)
    assert whole["threads"] == sum(one.threads for one in stats)
    assert whole["critical_path"] == sum(one.critical_path for one in stats)
    assert whole["attended"]["forked"] == sum(one.attended_forked for one in stats)
    assert whole["attended"]["sequential"] == sum(one.attended_sequential for one in stats)
    assert whole["kv_token_steps"]["forked"] == sum(one.kv_forked.sum for one in stats)
    assert whole["kv_token_steps"]["sequential"] == sum(one.kv_sequential.sum for one in stats)
    speedups = [one.speedup for one in stats]
    assert whole["ideal_speedup"]["corpus"] == round(whole["tokens"] / whole["critical_path"], 4)
    assert whole["ideal_speedup"]["mean"] == round(statistics.mean(speedups), 4)
    assert whole["ideal_speedup"]["median"] == pytest.approx(statistics.median(speedups), rel=0.006)


def test_details_are_those_of_structured_answers(report: Report) -> None:
    data = report.to_dict()
    forks = [RECORDS[k].tree.forks() for k in (0, 1, 4)]
    lengths = [COUNTER.count(RECORDS[k].response[at:end]) for k in (0, 1, 4) for at, end in RECORDS[k].tree.forks()]
    assert data["details_per_answer"]["number"] == 3
    assert data["details_per_answer"]["mean"] == round(statistics.mean(map(len, forks)), 4)
    assert data["detail_tokens"]["mean"] == round(statistics.mean(lengths), 4)
    assert sum(data["detail_tokens"]["histogram"].values()) == len(lengths)
    assert data["depth"] == {"1": 2, "2": 2, "3": 1}


def test_dropped_answers_are_counted_by_filter_and_source() -> None:
    report = Report("words")
    for drop, source in (("empty", "s1"), ("duplicate", "s1"), ("duplicate", "s2"), ("duplicate", "s2")):
        report.add_dropped(drop, source)
    dropped = report.to_dict()["dropped"]
    assert (dropped["count"], dropped["by_reason"]) == (4, {"duplicate": 3, "empty": 1})
    assert dropped["by_source"] == {"duplicate": {"s2": 2, "s1": 1}, "empty": {"s1": 1}}


def test_broken_records_are_listed_up_to_a_limit_and_all_counted(tmp_path: Path) -> None:
    report = Report("words")
    for line in range(1, 1202):
        report.add_broken(BrokenRecord(SourceLocation(tmp_path / "a.jsonl", line), "no JSON"))
    broken = report.to_dict()["broken"]
    assert (broken["count"], len(broken["records"])) == (1201, 1000)
    assert broken["records"][0] == {"file": str(tmp_path / "a.jsonl"), "line": 1, "problem": "no JSON"}


def test_more_groups_than_a_report_should_have_are_summed_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_module, "_MOST_GROUPS", 3)
    report = Report("words")
    for number in range(9):
        report.add(summarize(record("Plain.", f"s{number}", license=f"l{number}"), COUNTER, "jsonl messages"))
        report.add_dropped("empty", f"s{number}")
    data = report.to_dict()
    assert {name: one["answers"] for name, one in data["by_source_figures"].items()} == {
        **dict.fromkeys(("s0", "s1", "s2"), 1),
        "others": 6,
    }
    assert data["by_licence"]["others"] == data["dropped"]["by_source"]["empty"]["others"] == 6


def test_a_report_of_nothing_has_no_speed_up() -> None:
    data = Report(COUNTER.name).to_dict()
    assert data["all"]["ideal_speedup"] == {"corpus": None, "mean": None, "median": None}
    assert json.loads(json.dumps(data)) == data


@given(st.lists(st.floats(0.01, 1e6), min_size=1))
def test_the_median_is_right_to_half_a_percent(values: list[float]) -> None:
    spread = Histogram(LENGTH_EDGES)
    for value in values:
        spread.add(value)
    median = spread.quantile(0.5)
    assert median is not None
    assert math.isclose(median, statistics.median_low(values), rel_tol=0.0051)
    assert sum(spread.to_dict()["histogram"].values()) == len(values)


def test_every_key_is_documented() -> None:
    told = (Path(__file__).resolve().parents[2] / "docs" / "report.md").read_text(encoding="utf-8")
    data = Report(COUNTER.name).to_dict()
    keys = {*data, *data["all"], *data["dropped"], *data["broken"], *data["detail_tokens"]}
    assert [key for key in sorted(keys) if f"`{key}`" not in told] == []


def test_records_are_kept_as_they_were_read() -> None:
    for one in RECORDS:
        assert TreeRecord.from_json(one.to_json()) == one
