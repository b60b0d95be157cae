"""Tiny random models and a tokenizer of forty tokens: fast, and forking as often as a test wants."""

from __future__ import annotations

import random
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models
from torch import nn
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GemmaConfig,
    GemmaForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from apar.tokens import ControlTokens, add_control_tokens
from tests import device

VOCABULARY = 40
SLIDING = {"sliding_window": 7, "layer_types": ["sliding_attention", "full_attention"]}
FAMILIES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "llama": (LlamaConfig, LlamaForCausalLM, {}),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM, {}),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM, {}),
    "mistral": (MistralConfig, MistralForCausalLM, {"sliding_window": 5}),
    "gemma": (GemmaConfig, GemmaForCausalLM, {}),
    # Its capped scores need the attention that is written out in full.
    "gemma2": (
        Gemma2Config,
        Gemma2ForCausalLM,
        {**SLIDING, "attn_implementation": "eager", "attn_logit_softcapping": 4.0, "query_pre_attn_scalar": 8},
    ),
    "gemma3": (Gemma3TextConfig, Gemma3ForCausalLM, {**SLIDING, "query_pre_attn_scalar": 8}),
}
"""The config, the model, and what sets it apart from the others."""


def tiny_tokenizer(control: bool = True) -> PreTrainedTokenizerFast:
    """`<eos>`, the control tokens and short words of the letters a, b and c: stop strings cross their borders."""
    letters = [one + two for one in ("", *"abc") for two in "abc "] + [f"{a}{b}c" for a in "abc" for b in "abc"]
    words = dict.fromkeys([*letters, *(f"{letter}{number}" for letter in "abc" for number in range(9))])
    size = VOCABULARY - 1 - 2
    tokenizer = Tokenizer(models.WordLevel(dict(zip(["<eos>", *words], range(size + 1), strict=False)), "<eos>"))
    tokenizer.decoder = decoders.Fuse()
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<eos>",
        chat_template="{% for turn in messages %}{{ turn['content'] }}{% endfor %}",
    )
    if control:
        add_control_tokens(wrapped)
    return wrapped


def tiny_model(seed: int, family: str = "llama", context: int = 128, **settings: Any) -> Any:
    """A random model with well separated logits; its output has a bias, so that tokens can be made frequent."""
    make_config, make_model, own = FAMILIES[family]
    shape = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": context,
        "initializer_range": 0.5,
        "tie_word_embeddings": False,
        "sliding_window": None,
    }
    torch.manual_seed(seed)
    model = make_model(make_config(**{**shape, **own, **settings})).eval()
    model.lm_head = nn.Linear(shape["hidden_size"], settings.get("vocab_size", VOCABULARY)).requires_grad_(False)
    nn.init.normal_(model.lm_head.weight, std=0.6)
    nn.init.zeros_(model.lm_head.bias)
    return model.requires_grad_(False).to(device.chosen)


def favour(model: Any, control: ControlTokens, fork: float, eos: float) -> None:
    """Make `[Fork]` and end-of-sequence more or less likely."""
    model.lm_head.bias[control.fork] = fork
    for token in control.eos:
        model.lm_head.bias[token] = eos


def random_prompt(rng: random.Random, longest: int) -> list[int]:
    """Ordinary token ids."""
    return [rng.randrange(1, VOCABULARY - 2) for _ in range(rng.randint(1, longest))]
