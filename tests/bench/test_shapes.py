"""Models of random weights."""

from __future__ import annotations

import pytest
import torch

from apar.bench.shapes import SHAPES, random_model, shape_config
from apar.errors import UserError

CPU = torch.device("cpu")


def test_the_small_shape_has_about_25_million_weights_and_the_same_every_time() -> None:
    model = random_model("llama-25m", torch.float32, CPU)
    assert 24e6 < sum(parameter.numel() for parameter in model.parameters()) < 27e6
    assert model.lm_head.weight is model.model.embed_tokens.weight
    ids = torch.arange(6)[None]
    with torch.inference_mode():
        logits = model(ids).logits
        again = random_model("llama-25m", torch.float32, CPU)(ids).logits
    assert logits.isfinite().all()
    assert logits.std() > 0.01
    assert torch.equal(logits, again)


def test_weights_have_the_type_asked_for_and_positions_stay_exact() -> None:
    model = random_model("llama-25m", torch.bfloat16, CPU)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert model.model.rotary_emb.inv_freq.dtype == torch.float32


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_is_a_configuration(name: str) -> None:
    assert shape_config(name).hidden_size == SHAPES[name]["hidden_size"]


def test_an_unknown_shape_is_answered_with_those_there_are() -> None:
    with pytest.raises(UserError, match=r"no shape 'llama-9b'; there are llama-25m, qwen-0\.5b"):
        shape_config("llama-9b")
