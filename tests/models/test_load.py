"""Finding a model and reading it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    DeepseekV3Config,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    Llama4TextConfig,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
)

from apar.errors import ModelError
from apar.models.load import check_supported, load
from tests.tiny import tiny_model


def test_a_folder_is_loaded_in_float32_on_the_cpu_unless_asked_otherwise(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path)
    model, tokenizer = load(folder, "auto", "cpu")
    assert (model.dtype, model.training, len(tokenizer)) == (torch.float32, False, model.config.vocab_size)
    model, _ = load(str(folder), "bfloat16", "cpu")
    assert model.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda place: place / "nowhere", "there is no model folder"),
        (lambda place: str(place / "nowhere"), "there is no model folder"),
        (lambda place: place, "no config.json"),
        (lambda place: "./a/b/c", "there is no model folder"),
    ],
)
def test_a_folder_that_is_no_model_is_named(tmp_path: Path, make: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load(make(tmp_path), "auto", "cpu")


def test_a_broken_model_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{broken")
    with pytest.raises(ModelError, match="cannot load the model") as refusal:
        load(tmp_path, "auto", "cpu")
    assert "\n" not in str(refusal.value)


def test_a_model_without_weights_is_one_line(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot load the model") as refusal:
        load(folder, "auto", "cpu")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("dtype", "device"), [("float8", "cpu"), ("auto", "abacus"), ("auto", "cuda:99")])
def test_a_type_or_device_that_is_not_there_is_refused(tmp_path: Path, dtype: str, device: str) -> None:
    folder = tiny_model(tmp_path)
    with pytest.raises(ModelError, match=r"float8|abacus|cuda:99"):
        load(folder, dtype, device)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (Llama4TextConfig(), "chunked attention"),
        (Gemma3TextConfig(use_bidirectional_attention=True), "later ones"),
        (GPT2Config(), "Llama family"),
        (DeepseekV3Config(), "Llama family"),
        (LlamaConfig(rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}), "longest text"),
    ],
)
def test_attention_of_an_unknown_kind_is_refused(config: Any, reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        check_supported(config, "the model")


@pytest.mark.parametrize("config", [MistralConfig(), Qwen2Config(), Gemma2Config(), Gemma3TextConfig()])
def test_full_and_sliding_attention_are_supported(config: Any) -> None:
    check_supported(config, "the model")


def test_files_that_lack_a_weight_are_refused(tmp_path: Path) -> None:
    file = tiny_model(tmp_path) / "model.safetensors"
    weights = load_file(file)
    del weights["model.layers.0.mlp.down_proj.weight"]
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lack the weight model\.layers\.0\.mlp\.down_proj\.weight"):
        load(tmp_path, "auto", "cpu")


def test_a_truncated_file_of_weights_is_one_line(tmp_path: Path) -> None:
    file = tiny_model(tmp_path) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ModelError, match="cannot load the model"):
        load(tmp_path, "auto", "cpu")
