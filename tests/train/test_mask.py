"""The mask is one rule in three forms."""

from __future__ import annotations

import pytest
import torch
from transformers import Gemma3TextConfig, Lfm2Config, LlamaConfig, MambaConfig, MistralConfig

from apar.errors import ModelError
from apar.train.mask import additive, check_attention, dense_mask, mask_mod

# [prompt A] { [Child B] } [C], then a padding token that sees only itself.
ENDS = torch.tensor([[5, 5, 4, 4, 5, 6]])


def test_a_token_sees_its_own_node_and_its_ancestors_only() -> None:
    seen = [row.nonzero().flatten().tolist() for row in dense_mask(ENDS)[0, 0]]
    assert seen == [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3], [0, 1, 4], [5]]


def test_the_flex_attention_rule_and_the_additive_mask_are_the_dense_mask() -> None:
    dense = dense_mask(ENDS)
    attends = mask_mod(ENDS)
    index = torch.arange(6)
    zero = torch.tensor(0)
    assert torch.equal(attends(zero, zero, index[:, None], index[None, :]), dense[0, 0])
    assert torch.equal(additive(dense, torch.float32) == 0, dense)


def test_layers_that_keep_a_state_are_refused() -> None:
    for config in (LlamaConfig(), MistralConfig(), Gemma3TextConfig()):
        check_attention(config, "m")
    for other in (Lfm2Config(num_hidden_layers=2, layer_types=["conv", "full_attention"]), MambaConfig()):
        with pytest.raises(ModelError, match="tree attention needs full or sliding attention"):
            check_attention(other, "m")
