"""Several processes train what one does: the same packs in each step, the same losses, the same weights."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from apar.train import run
from tests.train.test_run import ADAPTER, lines, losses, recipe, trees

__all__ = ["trees"]  # a fixture


def held_out(folder: Path) -> list[float]:
    return [value for line in lines(folder) if "held_out" in line for value in line["held_out"].values()]


@pytest.mark.parametrize("changes", [{}, {"lora": {"rank": 2}}], ids=["all weights", "adapter"])
def test_two_processes_train_what_one_does(tmp_path: Path, trees: Path, changes: dict[str, object]) -> None:
    settings = {**changes, "start": ADAPTER["start"], "steps": 8, "micro_batch_tokens": 128, "sample_answers": 0}
    settings |= {"optimizer": {"learning_rate": 0.002, "warmup": 0}, "threads": 1}
    alone = run.train(recipe(tmp_path, trees, **settings, output=tmp_path / "one"))
    chosen = recipe(tmp_path, trees, **settings, output=tmp_path / "two")
    config = tmp_path / "recipe.yaml"
    config.write_text(yaml.safe_dump(chosen.model_dump(mode="json")))
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = subprocess.run([*launcher, "-m", "apar", "train", str(config)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    together = Path(done.stdout.strip().splitlines()[-1])
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=2e-5)
    assert held_out(tmp_path / "two") == pytest.approx(held_out(tmp_path / "one"), abs=1e-4)
    name = "adapter_model.safetensors" if changes else "model.safetensors"
    first, second = load_file(alone / name), load_file(together / name)
    for key, weight in first.items():
        torch.testing.assert_close(weight.float(), second[key].float(), rtol=0.02, atol=2e-3, msg=key)
