"""Any decoder of Transformers can be trained: a packed tree is, for it, the same as its root-to-leaf paths alone."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    Qwen3Config,
)

from apar.tokens import ControlTokens
from apar.train import losses
from apar.train.batches import collate
from apar.train.losses import token_losses
from apar.train.samples import IGNORE, Sample, tree_sample
from tests.train.random_trees import random_tree
from tests.train.test_samples import paths

CONTROL = ControlTokens(fork=1, child=2, eos=frozenset({0}))
PROMPT = [41, 42, 43]
SHAPE = {
    "vocab_size": 44,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "initializer_range": 0.2,
}
HEAD = {"head_dim": 8}
CONFIGS = {
    "llama": lambda: LlamaConfig(**SHAPE),
    "llama, tied": lambda: LlamaConfig(**SHAPE, tie_word_embeddings=True),
    "qwen3": lambda: Qwen3Config(**SHAPE, **HEAD),
    "mistral, window of 6": lambda: MistralConfig(**SHAPE, sliding_window=6),
    "gemma 2, window, soft caps": lambda: Gemma2Config(**SHAPE, **HEAD, sliding_window=6, final_logit_softcapping=3.0),
    "gemma 3": lambda: Gemma3TextConfig(**SHAPE, **HEAD, sliding_window=6, layer_types=LAYERS),
    "granite, scaled logits": lambda: GraniteConfig(**SHAPE, logits_scaling=4.0),
    "cohere, scaled logits": lambda: CohereConfig(**SHAPE, logit_scale=0.5),
    "phi 3": lambda: Phi3Config(**SHAPE, sliding_window=None),
    "gpt 2": lambda: GPT2Config(vocab_size=44, n_embd=32, n_layer=2, n_head=4, n_positions=256, **DROPLESS),
}
LAYERS = ["sliding_attention", "full_attention"]
DROPLESS = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "initializer_range": 0.2}


@pytest.fixture(params=CONFIGS, ids=list(CONFIGS))
def config(request: pytest.FixtureRequest) -> Any:
    return CONFIGS[request.param]()


def test_packed_trees_have_the_loss_and_the_gradients_of_their_paths(config: Any) -> None:
    for attention in ("sdpa", "eager"):
        assert_same_as_paths(config, attention)


def test_losses_in_chunks_are_those_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "CHUNK_BYTES", 4 * 44 * 5)
    assert_same_as_paths(LlamaConfig(**SHAPE, tie_word_embeddings=True), "sdpa")


def assert_same_as_paths(config: Any, attention: str) -> None:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention).train()
    rng = random.Random(5)
    trees = [random_tree(rng, list(range(3, 40))) for _ in range(3)]
    joined = Sample()
    for tree in trees:
        joined.extend(tree_sample(PROMPT, tree, CONTROL, eos=0))
    batch = collate([joined], len(joined) + 3)

    loss = token_losses(model, batch).sum()
    loss.backward()
    packed = gradients(model)
    model.zero_grad()

    alone = torch.zeros(())
    for tree in trees:
        for ids, labels in paths(PROMPT, tree):
            logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
            alone = alone + F.cross_entropy(logits.float(), torch.tensor(labels), reduction="sum", ignore_index=IGNORE)
    alone.backward()
    torch.testing.assert_close(loss, alone, rtol=1e-5, atol=1e-5)
    for name, gradient in gradients(model).items():
        scale = float(gradient.abs().max()) + 1e-6
        torch.testing.assert_close(packed[name] / scale, gradient / scale, rtol=1e-4, atol=1e-5, msg=name)


def gradients(model: Any) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
