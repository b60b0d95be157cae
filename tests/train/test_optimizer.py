"""Which optimizer gets which weights, and the learning rate over the steps."""

from __future__ import annotations

import itertools

import pytest
from transformers import LlamaConfig, LlamaForCausalLM

from apar.train.optimizer import learning_rate, make_optimizers
from apar.train.recipe import Optimizer


@pytest.mark.parametrize("tied", [True, False])
def test_muon_gets_the_matrices_of_the_layers_and_adamw_all_the_rest(tied: bool) -> None:
    shape = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=50, tie_word_embeddings=tied, **shape))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    muon, adamw = (
        {names[id(p)] for group in optimizer.param_groups for p in group["params"]}
        for optimizer in make_optimizers(model, Optimizer(name="muon"))
    )
    assert muon | adamw == set(names.values())
    assert not muon & adamw
    assert all("layers" in name and "proj" in name for name in muon)
    assert "model.embed_tokens.weight" in adamw


def test_the_rate_warms_up_linearly_and_falls_along_a_cosine() -> None:
    recipe = Optimizer(learning_rate=1.0, warmup=0.1, final=0.2)
    rates = [learning_rate(step, 100, recipe) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * (step + 1) for step in range(10)])
    assert rates[55] == pytest.approx(0.6, abs=0.01)
    assert rates[99] == pytest.approx(0.2, abs=0.01)
    assert all(before >= after for before, after in itertools.pairwise(rates[10:]))
