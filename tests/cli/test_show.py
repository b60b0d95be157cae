"""`apar show` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from apar.cli.show import command
from apar.data.token_counter import word_counter
from apar.data.writers import tree_writer
from apar.errors import AparError, UserError
from apar.stats import tree_stats
from tests.corpus.records import CHINESE, FORKING, REFUSED, record

ANSWERS = (FORKING, "[b]Plain[/b]", REFUSED, CHINESE)


@pytest.fixture
def trees(tmp_path: Path) -> Path:
    path = tmp_path / "trees.jsonl"
    records = (record(answer, identity=f"id-{k}") for k, answer in enumerate(ANSWERS))
    path.write_text("".join(one.to_json() + "\n" for one in records), encoding="utf-8")
    return path


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    if isinstance(result.exception, AparError):
        raise result.exception
    return result


def test_prompt_tree_and_figures_are_shown_as_plain_text(trees: Path) -> None:
    output = run(trees).stdout
    stats = tree_stats(record(FORKING).tree, word_counter().count)
    assert "user: What is there to say?" in output
    assert "id-0 (ordered list)" in output
    assert "1. **Water:**[Fork] 0.0\n│ give it in the early morning" in output
    assert f"{stats.tokens} tokens (words and punctuation), 4 threads, {stats.peak_threads} at once, depth 2" in output
    assert f"critical path {stats.critical_path} steps, ideal speed-up {stats.speedup:.2f}x" in output
    assert f"attended tokens {stats.attended_forked:,}, sequentially {stats.attended_sequential:,}" in output
    assert f"KV-token-steps {stats.kv_forked.sum:,}, sequentially {stats.kv_sequential.sum:,}" in output
    assert "\x1b" not in output


def test_markup_of_an_answer_and_a_refusal_are_shown_as_they_are(trees: Path) -> None:
    output = run(trees, "-i", 1).stdout
    assert "id-1 (unstructured: too few parts)" in output
    assert "[b]Plain[/b]" in output
    assert "[Fork]" not in output


def test_refused_parts_are_shown_at_their_place(trees: Path) -> None:
    output = run(trees, "--id", "id-2").stdout
    assert "│    1. ⟦continued: Mix: stir" in output
    assert "of an\n│ hour.⟧\n3. **Pack:**" in output


def test_json_is_one_line_with_the_record_and_its_figures(trees: Path) -> None:
    for index, answer in enumerate(ANSWERS):
        (line,) = run(trees, "-i", index, "--json").stdout.splitlines()
        data = json.loads(line)
        stats = tree_stats(record(answer).tree, word_counter().count)
        assert (data["id"], data["response"]) == (f"id-{index}", answer)
        assert data["forks"] == [list(fork) for fork in record(answer).tree.forks()]
        assert data["figures"]["tokens"] == stats.tokens
        assert data["figures"]["ideal_speedup"] == stats.speedup


def test_a_parquet_file_is_shown_as_a_file_of_lines_is(trees: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    with tree_writer(tmp_path / "trees.parquet", "parquet") as writer:
        for line in trees.read_text(encoding="utf-8").splitlines():
            writer.write(line)
    for choice in (("-i", 3), ("--id", "id-3")):
        assert run(tmp_path / "trees.parquet", *choice).stdout == run(trees, *choice).stdout


def test_an_id_that_is_not_there_is_the_users_mistake(trees: Path) -> None:
    with pytest.raises(UserError, match=r"there is no tree with the id 'id-9' in .*trees\.jsonl"):
        run(trees, "--id", "id-9")
    assert run(trees, "-i", 0, "--id", "id-0").exit_code == 2


def test_an_index_out_of_range_is_the_users_mistake(trees: Path) -> None:
    with pytest.raises(UserError, match=r"there is no tree 4 in .*numbered 0 to 3"):
        run(trees, "-i", 4)
    assert run(trees, "-i", -1).exit_code == 2


def test_a_file_of_something_else_is_the_users_mistake(tmp_path: Path) -> None:
    path = tmp_path / "other.jsonl"
    path.write_text('{"prompt": "Q", "response": "A"}\n')
    with pytest.raises(UserError, match=r"line 1 is not a tree written by `apar extract`"):
        run(path)
