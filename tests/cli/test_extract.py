"""`apar extract` as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from apar.cli.bench import structure
from apar.cli.extract import command
from apar.cli.show import command as show
from apar.data.records import read_trees
from apar.errors import AparError, ConfigError, RunError, UserError

ANSWER = "1. One: the first of them all\n2. Two: the second one of all\n3. Three: the third one of all\n"


def chats(folder: Path, *lines: str) -> Path:
    path = folder / "chats.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def line(response: str) -> str:
    return json.dumps({"prompt": "Which?", "response": response})


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    if isinstance(result.exception, AparError):
        raise result.exception
    return result


def test_trees_and_report_are_written(tmp_path: Path) -> None:
    output = tmp_path / "out"
    result = run(chats(tmp_path, line(ANSWER), line("Plain.")), "-o", output)
    assert result.exit_code == 0
    assert sorted(os.listdir(output)) == ["card.md", "report.json", "trees.jsonl"]
    assert [record.tree.text for record in read_trees(output / "trees.jsonl")] == [ANSWER, "Plain."]
    assert json.loads((output / "report.json").read_text())["by_rule"]["ordered_list"] == 1
    assert "jsonl prompt_response" in result.stdout
    assert result.stderr == ""


def test_json_is_exactly_one_line_and_the_report(tmp_path: Path) -> None:
    result = run(chats(tmp_path, line(ANSWER)), "-o", tmp_path / "out", "--json")
    (only,) = result.stdout.splitlines()
    assert json.loads(only) == json.loads((tmp_path / "out" / "report.json").read_text())


def test_broken_lines_are_told_with_their_place_and_the_rest_is_done(tmp_path: Path) -> None:
    broken = ["{"] * 12
    result = run(chats(tmp_path, line(ANSWER), *broken, line("Plain.")), "-o", tmp_path / "out", "--json")
    report = json.loads(result.stdout)
    assert (report["answers"], report["broken"]["count"], len(report["broken"]["records"])) == (2, 12, 12)
    told = result.stderr.splitlines()
    assert told[0] == f"apar: left out: {tmp_path / 'chats.jsonl'}, line 2: {report['broken']['records'][0]['problem']}"
    assert len(told) == 11
    assert told[-1] == "apar: 12 broken records are left out; report.json lists them"


def test_several_files_of_several_formats(tmp_path: Path) -> None:
    alpaca = tmp_path / "alpaca.json"
    alpaca.write_text(json.dumps([{"instruction": "Q", "input": "", "output": ANSWER}]))
    result = run(chats(tmp_path, line(ANSWER)), alpaca, "-o", tmp_path / "out", "--json")
    assert json.loads(result.stdout)["by_format"] == {"jsonl prompt_response": 1, "json alpaca": 1}


def test_an_unusable_file_leaves_nothing_behind(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("no chats\n")
    with pytest.raises(UserError, match="no known format"):
        run(chats(tmp_path, line(ANSWER)), text, "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("apar.data.files.os.fsync", full)
    with pytest.raises(RunError, match="No space left on device"):
        run(chats(tmp_path, line(ANSWER)), "-o", tmp_path / "out", "--processes", 1)
    assert os.listdir(tmp_path / "out") == [".work"]
    assert os.listdir(tmp_path / "out" / ".work") == []


def test_a_run_that_was_interrupted_says_that_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = (chats(tmp_path, line(ANSWER)), "-o", tmp_path / "out", "--processes", 1)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("apar.corpus.run.merge", interrupted)
    run(*files)
    monkeypatch.undo()
    more = tmp_path / "more.jsonl"
    more.write_text(line(ANSWER) + "\n")
    assert "going on where a run was interrupted" in run(*files).stderr
    assert sorted(os.listdir(tmp_path / "out")) == ["card.md", "report.json", "trees.jsonl"]


def test_the_papers_rules_and_single_knobs(tmp_path: Path) -> None:
    path = chats(tmp_path, line(ANSWER.replace("1.", "-").replace("2.", "-").replace("3.", "-")))
    ours = json.loads(run(path, "-o", tmp_path / "ours", "--json").stdout)
    papers = json.loads(run(path, "-o", tmp_path / "papers", "--json", "--preset", "paper").stdout)
    fewer = json.loads(run(path, "-o", tmp_path / "fewer", "--json", "--set", "structure.min_parts=4").stdout)
    assert [report["structured"]["answers"] for report in (ours, papers, fewer)] == [1, 0, 0]
    assert papers["config"]["structure"]["rules"] == ["ordered_list", "paragraphs"]


def test_a_data_set_of_the_hub_is_read_from_its_folder(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = [{"instruction": "Q", "input": "", "output": ANSWER}, {"instruction": "R", "input": "", "output": "Plain."}]
    datasets.DatasetDict({"test": datasets.Dataset.from_list(rows)}).save_to_disk(str(tmp_path / "data"))
    found = run("--dataset", tmp_path / "data", "--dataset-split", "test", "-o", tmp_path / "out", "--json")
    report = json.loads(found.stdout)
    assert (report["answers"], report["by_format"]) == (2, {"dataset alpaca": 2})
    with pytest.raises(UserError, match="has no split train, but test"):
        run("--dataset", tmp_path / "data", "-o", tmp_path / "out")


def test_a_page_of_a_sample_is_written(tmp_path: Path) -> None:
    path = chats(tmp_path, *(line(ANSWER.replace("One", f"One {k}")) for k in range(5)))
    result = run(path, "-o", tmp_path / "out", "--html", tmp_path / "page.html", "--html-sample", 2)
    assert result.exit_code == 0
    assert "the first of them all" in (tmp_path / "page.html").read_text()


def test_a_command_without_files_is_the_users_mistake(tmp_path: Path) -> None:
    result = run("-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "give files with chats, or --dataset NAME" in result.stderr


def test_a_tokenizer_that_is_not_there_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no tokenizer at"):
        run(chats(tmp_path, line(ANSWER)), "-o", tmp_path / "out", "--tokenizer", tmp_path / "none.model")


def test_the_users_mistake_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    arguments = ["extract", str(tmp_path / "missing.jsonl"), "-o", str(tmp_path / "out")]
    program = [sys.executable, "-c", "from apar.cli import main; main()"]
    done = subprocess.run([*program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"apar: cannot read {tmp_path / 'missing.jsonl'}: No such file or directory\n"


def test_nothing_left_is_a_mistake_that_names_the_reasons(tmp_path: Path) -> None:
    bad = json.dumps({"prompt": "Which?", "response": ANSWER, "label": False})
    output = tmp_path / "out"
    with pytest.raises(UserError, match=r"has no answers: all were left out \(marked_bad 1, broken 1\)") as caught:
        run(chats(tmp_path, bad, "{"), "-o", output)
    assert caught.value.exit_code == 2
    assert json.loads((output / "report.json").read_text())["dropped"]["by_reason"] == {"marked_bad": 1}


def test_other_fields_are_read_by_a_map(tmp_path: Path) -> None:
    path = chats(tmp_path, json.dumps({"ask": "Which?", "no": {"1": ANSWER}}))
    run(path, "-o", tmp_path / "out", "--map", "question=ask", "--map", "answer=no.1")
    (record,) = read_trees(tmp_path / "out" / "trees.jsonl")
    assert (record.messages, record.response) == (({"role": "user", "content": "Which?"},), ANSWER)
    with pytest.raises(ConfigError, match="ask is no key that a field can be read as"):
        run(path, "-o", tmp_path / "out", "--map", "ask=question")
    assert "write it as KEY=FIELD" in run(path, "-o", tmp_path / "out", "--map", "ask").stderr


def test_reasoning_stays_with_its_answer_in_the_tree_record(tmp_path: Path) -> None:
    answer = {"role": "assistant", "content": ANSWER, "reasoning_content": "Hm."}
    path = chats(tmp_path, json.dumps({"messages": [{"role": "user", "content": "Which?"}, answer]}))
    for form in ("jsonl", "parquet"):
        run(path, "-o", tmp_path / form, "--format", form)
        (record,) = read_trees(tmp_path / form)
        assert (record.response, record.extra["reasoning_content"]) == (ANSWER, "Hm.")


def test_the_folder_of_a_run_is_read_as_its_trees(tmp_path: Path) -> None:
    run(chats(tmp_path, line(ANSWER)), "-o", tmp_path / "out")
    shown = CliRunner().invoke(show, [str(tmp_path / "out"), "--json"])
    assert json.loads(shown.stdout)["response"] == ANSWER
    benched = CliRunner().invoke(structure, [str(tmp_path / "out"), "--rows", "inf"])
    assert json.loads(benched.stdout.splitlines()[-1])["bench"] == "structure"
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"has no trees; make them with `apar extract"):
        list(read_trees(tmp_path / "empty"))
