"""`apar train`: the folder of the model on standard output, all else on standard error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from apar.cli.train import command
from apar.errors import AparError, ConfigError, UserError
from apar.train import run as training
from tests.tiny import tiny_model


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    record = {"id": "1", "source": "s", "prompt": "List.", "response": "1. A: b.", "rule": "ordered_list"}
    line = json.dumps({**record, "reason": None, "forks": [[5, 8]]})
    (tmp_path / "trees.jsonl").write_text(line + "\n")
    lines = [
        f"output: {tmp_path / 'run'}",
        f"start: {{model: {tiny_model(tmp_path / 'base', control=False)}}}",
        f"trees: [{tmp_path / '*.jsonl'}]",
        "mix: {structured: null}",
        "max_length: 64",
        "batch_tokens: 128",
        "steps: 3",
    ]
    path = tmp_path / "recipe.yaml"
    path.write_text("\n".join(lines))
    return path


def test_it_prints_the_folder_of_a_model_that_can_fork(recipe: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke(command, [str(recipe), "--set", "steps=2"], catch_exceptions=False)
    assert run.stdout.split() == [str(tmp_path / "run" / "model")]
    tokenizer = json.loads((tmp_path / "run" / "model" / "tokenizer.json").read_text())
    assert {"[Fork]", "[Child]"} <= {token["content"] for token in tokenizer["added_tokens"]}
    assert len((tmp_path / "run" / "log.jsonl").read_text().splitlines()) == 2


def test_an_unknown_key_names_the_nearest_and_nothing_is_written(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown key step; did you mean steps\?"):
        CliRunner().invoke(command, [str(recipe), "--set", "step=2"], catch_exceptions=False)
    assert not (tmp_path / "run").exists()


def test_a_check_shows_samples_and_the_cost_and_trains_nothing(recipe: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke(command, [str(recipe), "--check", "--set", "compile=false"], catch_exceptions=False)
    assert "sample 0: " in run.stdout
    assert "1, 1 structured" in run.stdout
    assert "tokens/s" in run.stdout
    assert "MiB" in run.stdout or "GiB" in run.stdout
    assert not list((tmp_path / "run" / "checkpoints").iterdir())
    assert not (tmp_path / "run" / "model").exists()


def test_an_interruption_names_the_step_and_the_command_that_goes_on(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = training.train

    def stopped(at: int) -> None:
        def until(chosen: Any, *, report: Any, **options: Any) -> Path:
            def told(line: dict[str, Any]) -> None:
                report(line)
                if line["step"] == at:
                    raise KeyboardInterrupt

            return train(chosen, report=told, **options)

        monkeypatch.setattr(training, "train", until)

    settings = ["--set", "steps=6", "--set", "checkpoint_every=2"]
    command_line = f"apar train {recipe} {' '.join(settings)}"
    for at, told in (
        (1, f"interrupted after step 1 of 6, with no checkpoint to go on from; begin anew with `{command_line}`"),
        (3, f"interrupted after step 3 of 6; go on from checkpoint-2 with `{command_line} --resume`"),
    ):
        stopped(at)
        with pytest.raises(AparError) as caught:
            CliRunner().invoke(command, [str(recipe), *settings], catch_exceptions=False)
        assert (str(caught.value), caught.value.exit_code) == (told, 130)
    with pytest.raises(UserError, match="holds a training already"):
        CliRunner().invoke(command, [str(recipe), *settings], catch_exceptions=False)
