"""A tiny model with random weights: made in a second, nothing downloaded, loads like any other model."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from apar.tokens import FORK, add_control_tokens
from apar.train.tokenizer import train_tokenizer

SENTENCES = [
    "How can I sleep better? 1. Go to bed early: the body likes a rhythm. 2. Read a book: screens keep you awake.",
    "What should a small garden have? 1. A bench in the shade. 2. Herbs near the kitchen door. 3. A place for rain.",
    "Write a short note about the sea. The sea is wide and grey in winter, and the wind smells of salt.",
]
BIAS = 20.0
"""Far beyond the logits of random weights."""


def tiny_model(folder: Path, *, control: bool = True, forks: bool = True, seed: int = 0, context: int = 256) -> Path:
    """Save a random Llama of two layers with a tokenizer and a chat template in `folder`; return the folder.

    The model forks whenever it may (after every token, until the limits), or with `forks` off never. Without
    `control` it has no `[Fork]` and `[Child]`: a model that was not trained to fork. Answers are random
    characters; most go on until their budget is spent.
    """
    tokenizer = train_tokenizer(SENTENCES, vocab_size=320)
    if control:
        add_control_tokens(tokenizer)
    model = _model(tokenizer, seed, context)
    if control:
        _bias(model, tokenizer.convert_tokens_to_ids(FORK), BIAS if forks else -BIAS)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _model(tokenizer: PreTrainedTokenizerFast, seed: int, context: int) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        initializer_range=0.2,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlamaForCausalLM(config).eval()


@torch.no_grad()
def _bias(model: LlamaForCausalLM, token: int, bias: float) -> None:
    """Bias a token's logit: the first channel holds the same number everywhere, and only this token reads it."""
    channel = 0
    model.model.embed_tokens.weight[:, channel] = 1.0
    for layer in model.model.layers:
        layer.self_attn.o_proj.weight[channel] = 0.0
        layer.mlp.down_proj.weight[channel] = 0.0
    model.lm_head.weight[:, channel] = 0.0
    model.lm_head.weight[token, channel] = bias
