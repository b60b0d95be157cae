"""The report's figures are those of the trees, and its counts add up."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from apar.corpus.report import Report
from apar.corpus.run import extract_files
from apar.data.counters import word_counter
from apar.data.records import TreeRecord
from apar.stats import tree_stats

FORKING = "1. One: the first of all\n2. Two: the second of all\n3. Three: the third of all"
RECORDS = [
    {"prompt": "Q", "response": FORKING, "source": "s1", "model": "m"},
    {"prompt": "Q", "response": "A plain answer.", "source": "s1"},
    {"prompt": "Q", "response": " \n", "source": "s1"},
    {"prompt": "Q"},
    {"prompt": "Q", "response": FORKING, "source": "s2", "model": "m"},
]


@pytest.fixture
def extracted(tmp_path: Path) -> tuple[Report, list[TreeRecord]]:
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    trees = io.StringIO()
    report = Report(word_counter())
    assert len(list(extract_files([path], trees, report))) == len(RECORDS)
    return report, [TreeRecord.from_json(line) for line in trees.getvalue().splitlines()]


def test_every_answer_with_text_has_a_record(extracted: tuple[Report, list[TreeRecord]]) -> None:
    assert [record.response for record in extracted[1]] == [FORKING, "A plain answer.", FORKING]


def test_the_counts_add_up(extracted: tuple[Report, list[TreeRecord]]) -> None:
    data = extracted[0].to_dict()
    (file,) = data["files"]
    assert (file["format"], file["answers"], file["empty"], file["broken"]) == ("jsonl prompt_response", 3, 1, 1)
    assert (data["answers"], data["empty"], data["by_format"]) == (3, 1, {"jsonl prompt_response": 3})
    assert sum(data["by_rule"].values()) == 3
    assert data["by_reason"] == {"empty": 1, "too_few_parts": 1}
    (broken,) = data["broken"]["records"]
    assert (data["broken"]["count"], broken["line"]) == (1, 4)
    assert "`response` is missing" in broken["problem"]
    assert data["token_counter"] == "words and punctuation"


def test_the_figures_are_those_of_the_trees(extracted: tuple[Report, list[TreeRecord]]) -> None:
    report, records = extracted
    data = report.to_dict()
    stats = [tree_stats(record.tree, word_counter().count) for record in records]
    assert data["all"]["tokens"] == sum(one.tokens for one in stats)
    assert data["all"]["critical_path"] == sum(one.critical_path for one in stats)
    assert data["structured"]["answers"] == 2
    assert data["structured"]["threads"] == 8
    speedup = data["structured"]["ideal_speedup"]
    assert speedup["corpus"] == speedup["mean"] == speedup["median"] == round(stats[0].speedup, 4)
    assert [(name, part["answers"]) for name, part in data["by_source"].items()] == [("s1", 2), ("s2", 1)]
    assert [(name, part["answers"]) for name, part in data["by_model"].items()] == [("m", 2)]


def test_a_report_of_nothing_has_no_speed_up() -> None:
    data = Report(word_counter()).to_dict()
    assert data["all"]["ideal_speedup"] == {"corpus": None, "mean": None, "median": None}
    json.dumps(data)
