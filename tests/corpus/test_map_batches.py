"""The function for distributed engines gives what a run gives, row by row, on local workers as well."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from apar.corpus.chunks import Source
from apar.corpus.config import ExtractConfig
from apar.corpus.map_batches import extract_rows
from apar.corpus.run import ExtractionRun
from apar.data.records import TreeRecord, read_trees
from tests.corpus.chats import answer, write_chats

RECIPE = Path(__file__).parents[2] / "recipes" / "extract_shards.py"


def test_a_batch_gives_the_trees_of_its_rows() -> None:
    rows = [{"id": str(k), "prompt": "Q", "response": answer("tea", k)} for k in range(3)]
    batch = {key: [row[key] for row in rows] for key in rows[0]}
    found = extract_rows({**batch, "response": [*batch["response"][:2], ""]})
    assert found["id"] == ["0", "1"]
    records = [TreeRecord.from_dict({key: found[key][k] for key in found}) for k in range(2)]
    assert [record.tree.num_forks for record in records] == [2, 2]
    assert records[0].extra["lang"] == "en"


def test_rows_without_ids_get_the_same_ones_in_any_batch() -> None:
    one, other = {"prompt": ["A", "B"], "response": ["First.", "Second."]}, {"prompt": ["B"], "response": ["Second."]}
    assert extract_rows(one)["id"][1] == extract_rows(other)["id"][0]


def test_two_workers_give_the_trees_of_a_run(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    source = write_chats(tmp_path / "chats.jsonl", 60)
    lines = [line for line in source.read_text().splitlines() if line != "{"]
    source.write_text("\n".join(lines) + "\n")
    datasets.Dataset.from_list([json.loads(line) for line in lines]).to_parquet(tmp_path / "chats.parquet")
    command = [sys.executable, str(RECIPE), str(tmp_path / "chats.parquet"), str(tmp_path / "trees.parquet")]
    subprocess.run([*command, "--workers", "2"], check=True, capture_output=True)
    config = ExtractConfig.model_validate({"duplicates": {"exact": False, "near": None}})
    run = ExtractionRun([Source(source)], tmp_path / "out", config)
    run.run()
    assert list(read_trees(tmp_path / "trees.parquet")) == list(read_trees(run.trees))
