"""A tiny model that vLLM can load: its attention on the CPU needs heads of 32, and its Llama has no output bias."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch

from apar.tokens import ControlTokens
from tests.engine.tiny import VOCABULARY, tiny_model, tiny_tokenizer

CONTEXT = 128


@cache
def tokenizer() -> Any:
    return tiny_tokenizer()


@cache
def control() -> ControlTokens:
    return ControlTokens.of(tokenizer())


def texts() -> list[str]:
    """The text of every token id."""
    return [tokenizer().decode([token], skip_special_tokens=True) for token in range(VOCABULARY)]


@torch.no_grad()
def forking_model(folder: Path, seed: int = 3, fork: float = 6.0, eos: float = 2.0) -> Any:
    """Save a random model of which `[Fork]` and end-of-sequence are so much likelier, with its tokenizer; return it.

    The first channel holds the same number everywhere, and only these two tokens read it.
    """
    model = tiny_model(seed, "llama", CONTEXT, head_dim=32)
    model.model.embed_tokens.weight[:, 0] = 1.0
    for layer in model.model.layers:
        layer.self_attn.o_proj.weight[0] = 0.0
        layer.mlp.down_proj.weight[0] = 0.0
    model.lm_head.weight[:, 0] = 0.0
    model.lm_head.weight[control().fork, 0] = fork
    for token in control().eos:
        model.lm_head.weight[token, 0] = eos
    model.config.bos_token_id = None
    model.config.eos_token_id = model.generation_config.eos_token_id = min(control().eos)
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return model
