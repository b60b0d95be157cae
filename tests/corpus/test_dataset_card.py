"""The data card is valid for the hub, and tells what the report holds."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from apar.corpus.chunks import Source
from apar.corpus.config import ExtractConfig
from apar.corpus.dataset_card import card_text
from apar.corpus.run import ExtractionRun
from tests.corpus.chats import write_chats


def test_the_card_tells_of_a_run(tmp_path: Path) -> None:
    path = write_chats(tmp_path / "chats.jsonl", 60)
    report = ExtractionRun([Source(path)], tmp_path / "out", ExtractConfig()).run()
    text = (tmp_path / "out" / "card.md").read_text()
    _, head, body = text.split("---\n", 2)
    known = yaml.safe_load(head)
    assert known["license"] == ["mit"]
    assert known["language"] == [code for code in report["by_language_figures"] if len(code) == 2]
    assert known["size_categories"] == ["n<1K"]
    assert f"# Paragraph trees of {report['answers']} answers" in body
    assert "| MIT |" in body
    assert "from `chats.jsonl`" in body
    assert str(tmp_path) not in text
    assert f"| duplicate | {report['dropped']['by_reason']['duplicate']} |" in body


def test_a_licence_that_the_hub_does_not_know_is_another(tmp_path: Path) -> None:
    path = write_chats(tmp_path / "chats.jsonl", 20)
    report = ExtractionRun([Source(path)], tmp_path / "out", ExtractConfig()).run()
    report = {**report, "by_licence": {"Apache-2.0": 2, "MIT (repo)": 1, "a|b<c": 1}}
    text = card_text(json.loads(json.dumps(report)), ExtractConfig())
    assert yaml.safe_load(text.split("---\n", 2)[1])["license"] == ["apache-2.0", "other"]
    assert "| a\\|b&lt;c | 1 |" in text
