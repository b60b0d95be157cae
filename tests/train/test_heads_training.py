"""Heads are trained by the same recipe: on a frozen model, and a resumed training ends in the same heads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from apar.errors import ModelError
from apar.models.adapter_files import adapter_fingerprint
from apar.models.head_files import check_base, load_heads, read_heads_info
from apar.models.load import load
from apar.train import run
from tests.tiny import tiny_model
from tests.train.test_run import interrupted, lines, recipe, trees

__all__ = ["trees"]  # a fixture


def test_heads_learn_and_leave_the_model_alone(tmp_path: Path, trees: Path) -> None:
    base = run.train(recipe(tmp_path, trees, output=tmp_path / "base"))
    before = {name: value.clone() for name, value in AutoModelForCausalLM.from_pretrained(base).state_dict().items()}
    settings = {"kind": "heads", "start": {"model": str(base)}, "mix": {"structured": None}}
    chosen = recipe(tmp_path, trees, **settings, output=tmp_path / "heads")
    folder = run.train(chosen)
    heads = load_heads(folder)
    assert heads.shape.heads == 2
    assert heads.shape.hidden_size == 32
    measured = [line["held_out"] for line in lines(chosen.output) if "held_out" in line]
    assert measured[-1]["head1_top1"] > measured[0]["head1_top1"] - 0.01
    told = [line["loss"] for line in lines(chosen.output) if "loss" in line]
    assert told[-1] < 0.8 * told[0]
    for name, value in AutoModelForCausalLM.from_pretrained(base).state_dict().items():
        assert torch.equal(value, before[name]), name
    further = {**settings, "heads": {"start": str(folder)}}
    run.train(recipe(tmp_path, trees, **further, output=tmp_path / "further"))
    assert next(line["loss"] for line in lines(tmp_path / "further") if "loss" in line) < 0.9 * told[0]
    with pytest.raises(ModelError, match="are not of the recipe's shape"):
        run.train(recipe(tmp_path, trees, **{**settings, "heads": {"start": str(folder), "heads": 3}}))
    again = recipe(tmp_path, trees, **settings, output=tmp_path / "broken")
    interrupted(again, 23)
    resumed = run.train(again, resume=True)
    first, second = (load_file(path / "model.safetensors") for path in (folder, resumed))
    for name, weight in first.items():
        assert torch.equal(weight, second[name]), name


def test_heads_say_on_which_base_and_adapter_they_were_trained(
    tmp_path: Path, trees: Path, caplog: pytest.LogCaptureFixture
) -> None:
    base = run.train(recipe(tmp_path, trees, mode="sequential", steps=2, output=tmp_path / "base"))
    start = {"model": str(base)}
    adapters = [
        run.train(
            recipe(tmp_path, trees, lora={"rank": 2}, start=start, steps=2, seed=seed, output=tmp_path / str(seed))
        )
        for seed in (1, 2)
    ]
    settings = {"kind": "heads", "start": {**start, "adapter": str(adapters[0])}, "steps": 2, "output": tmp_path / "h"}
    folder = run.train(recipe(tmp_path, trees, **settings))
    info = read_heads_info(str(folder))
    assert info is not None
    assert info.base.name == str(base)
    assert info.adapter == adapter_fingerprint(str(adapters[0]))
    for adapter, warnings in zip(adapters, (0, 1), strict=True):
        check_base(folder, *load(str(base), "float32", "cpu", adapter=adapter), str(adapter))
        assert len(caplog.records) == warnings
    assert "were trained with another adapter, not with" in caplog.text
    other = tiny_model(tmp_path / "other")
    with pytest.raises(ModelError, match=rf"the heads {folder} are of another base: trained on {base} "):
        check_base(folder, *load(str(other), "float32", "cpu"))
