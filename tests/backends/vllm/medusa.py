"""Medusa heads in the form that vLLM loads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file


def save_heads(model: Any, folder: Path, count: int) -> Path:
    """Heads that guess every later token to be what the model says comes next; return the folder.

    They are right where the text repeats itself.
    """
    folder.mkdir()
    hidden, vocabulary = model.config.hidden_size, model.config.vocab_size
    weights = {}
    for head in range(count):
        weights[f"blocks.{head}.layers.0.weight"] = torch.zeros(hidden, hidden)
        weights[f"lm_heads.{head}.weight"] = model.lm_head.weight.detach().clone()
    save_file(weights, folder / "model.safetensors")
    config = {
        "model_type": "medusa",
        "architectures": ["MedusaModel"],
        "hidden_size": hidden,
        "vocab_size": vocabulary,
        "truncated_vocab_size": vocabulary,
        "num_heads": count,
        "num_hidden_layers": 1,
        "medusa_fc_bias": False,
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder
