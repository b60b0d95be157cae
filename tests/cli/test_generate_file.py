"""`apar generate --input`: the prompts of a file are answered into a file of trees."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from apar.data.records import read_trees
from apar.decoding.params import SamplingParams
from tests.cli.conftest import Run
from tests.scripted import LIST, ScriptedLLM

Apar = Callable[..., Run]


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    path = tmp_path / "asked.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"Question {number}?"}) + "\n" for number in range(3)))
    return path


def test_the_prompts_of_a_file_are_answered_into_a_file_of_trees(
    apar: Apar, scripted: ScriptedLLM, asked: Path, tmp_path: Path
) -> None:
    output = tmp_path / "answers.jsonl"
    code, out, err = apar("generate", "any", "--input", asked, "--output", output, "--temperature", 0.5, "--seed", 3)
    assert (code, out) == (0, "")
    assert f"3 answers written to {output}, 3 of them fork" in err
    assert [record.tree for record in read_trees(output)] == [LIST] * 3
    assert {params for _, params in scripted.asked} == {SamplingParams(temperature=0.5, seed=3)}
    again = apar("generate", "any", "--input", asked, "--output", output, "--temperature", 0.5, "--seed", 3)
    assert "0 answers written" in again.err
    assert "3 were answered before" in again.err
    assert len(scripted.asked) == 3


def test_a_run_with_other_options_is_refused(apar: Apar, scripted: ScriptedLLM, asked: Path, tmp_path: Path) -> None:
    output = tmp_path / "answers.jsonl"
    apar("generate", "any", "--input", asked, "--output", output)
    code, _, err = apar("generate", "any", "--input", asked, "--output", output, "--top-k", 5)
    assert code == 2
    assert "has answers of sampling {}, not {'top_k': 5}" in err


@pytest.mark.parametrize(
    "arguments",
    [("--input", "x"), ("--output", "x"), ("Q", "--input", "x", "--output", "y"), (),
     ("--input", "x", "--output", "y", "--json"), ("--input", "x", "--output", "y", "--live")],
)  # fmt: skip
def test_options_that_do_not_go_together_are_one_line(
    apar: Apar, scripted: ScriptedLLM, arguments: tuple[str, ...]
) -> None:
    code, out, err = apar("generate", "any", *arguments)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "--input" in err
    assert scripted.asked == []


def test_a_file_that_is_missing_is_one_line(apar: Apar, scripted: ScriptedLLM, tmp_path: Path) -> None:
    code, _, err = apar("generate", "any", "--input", tmp_path / "none", "--output", tmp_path / "answers.jsonl")
    assert code == 2
    assert err.count("\n") == 1
    assert str(tmp_path / "none") in err
