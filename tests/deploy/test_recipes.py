"""The shell recipes for many machines: each says what it needs, and starts the server by a line that parses."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.deploy.files import ROOT, serve

RECIPES = ROOT / "recipes" / "vllm"
FOR_ALL = {"HEAD": "10.0.0.1", "MODEL": "demo", "RANKS": "16", "LOCAL": "8", "NODES": "2", "GPUS": "8"}


def run(folder: Path, script: str, word: str, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a recipe where `apar` only writes down the words that it is called with."""
    stand_in = folder / "apar"
    stand_in.write_text('#!/bin/sh\nprintf "%s\\n" apar "$@"\n')
    stand_in.chmod(0o755)
    environment = {"PATH": f"{folder}:/usr/bin:/bin", **variables}
    line = ["bash", str(RECIPES / script), word]
    return subprocess.run(line, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("script", "word"), [("data_parallel.sh", "head"), ("ray_cluster.sh", "serve")])
def test_a_recipe_starts_vllms_server_by_a_line_that_parses(tmp_path: Path, script: str, word: str) -> None:
    done = run(tmp_path, script, word, FOR_ALL)
    params = serve(done.stdout.splitlines())
    assert (params["model"], params["backend"], params["server"]) == ("demo", "vllm", "vllm")
    assert (params["host"], params["port"]) == ("0.0.0.0", 8000)


@pytest.mark.parametrize(("script", "word"), [("data_parallel.sh", "head"), ("ray_cluster.sh", "serve")])
def test_a_recipe_says_what_it_was_not_told(tmp_path: Path, script: str, word: str) -> None:
    done = run(tmp_path, script, word, {name: value for name, value in FOR_ALL.items() if name != "MODEL"})
    assert done.returncode != 0
    assert "MODEL: a folder or hub id" in done.stderr
    assert done.stdout == ""


def test_an_unknown_word_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    done = run(tmp_path, "data_parallel.sh", "tail", FOR_ALL)
    assert done.returncode == 2
    assert "head|follower" in done.stderr
