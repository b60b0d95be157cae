"""A tiny model with random weights: made in a second, nothing downloaded, loads like any other model."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from apar.data.tokenizer import train_tokenizer
from apar.tokens import FORK, add_control_tokens

SENTENCES = [
    "How can I sleep better? 1. Go to bed early: the body likes a rhythm. 2. Read a book: screens keep you awake.",
    "What should a small garden have? 1. A bench in the shade. 2. Herbs near the kitchen door. 3. A place for rain.",
    "Write a short note about the sea. The sea is wide and grey in winter, and the wind smells of salt.",
]
FORK_BIAS = 3.4
"""Lifts `[Fork]` so that it is about every tenth token that is sampled."""


def tiny_model(folder: Path, *, control: bool = True, seed: int = 0) -> Path:
    """Save a random Llama of two layers with a tokenizer and a chat template in `folder`; return the folder.

    With `control` the tokenizer has `[Fork]` and `[Child]`, and the model forks every ten tokens or so when
    it samples; at temperature 0 it may or may not. Without, it is a model that was never trained to fork.
    """
    tokenizer = train_tokenizer(SENTENCES, vocab_size=320)
    if control:
        add_control_tokens(tokenizer)
    model = _model(tokenizer, seed)
    if control:
        _lift(model, tokenizer.convert_tokens_to_ids(FORK), FORK_BIAS)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _model(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.2,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlamaForCausalLM(config).eval()


@torch.no_grad()
def _lift(model: LlamaForCausalLM, token: int, bias: float) -> None:
    """Add a bias to a token's logit: the first channel is the same large number everywhere, and only it reads it."""
    channel = 0
    model.model.embed_tokens.weight[:, channel] = 1.0
    for layer in model.model.layers:
        layer.self_attn.o_proj.weight[channel] = 0.0
        layer.mlp.down_proj.weight[channel] = 0.0
    model.lm_head.weight[:, channel] = 0.0
    model.lm_head.weight[token, channel] = bias
