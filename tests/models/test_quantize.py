"""Weights of 8 and 4 bits: the products are those of the rounded weights, whatever the rows and the shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from apar.decoding.params import SamplingParams
from apar.engine.llm import LLM
from apar.errors import ModelError, UserError
from apar.models import quantize
from apar.models.load import load
from apar.models.quantize import Int4Linear, Int8Linear, quantize_model
from tests.engine.tiny import tiny_model as raw_model
from tests.tiny import tiny_model

KINDS = {"int8": (Int8Linear, 127), "int4": (Int4Linear, 7.5)}


def linear(inputs: int, outputs: int, bias: bool = False) -> nn.Linear:
    torch.manual_seed(inputs + outputs)
    return nn.Linear(inputs, outputs, bias=bias, dtype=torch.bfloat16).requires_grad_(False)


def weights_of(layer: nn.Module) -> torch.Tensor:
    """What the layer multiplies by, `[out, in]`: its answer to every unit vector."""
    unit = torch.eye(layer.in_features, dtype=torch.bfloat16)  # type: ignore[arg-type]
    return torch.cat([layer(row) for row in unit.split(1)]).T.float()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(32, 16), (96, 48), (64, 320)])
def test_weights_are_rounded_by_half_a_step_at_most(kind: str, shape: tuple[int, int]) -> None:
    make, steps = KINDS[kind]
    layer = linear(*shape)
    packed = make(layer)
    packed.in_features = shape[0]
    exact = layer.weight.float()
    # The largest step of any row or group, and what bfloat16 loses in scale, zero and product.
    step = float(exact.abs().max()) / steps
    error = (weights_of(packed) - exact).abs().max()
    assert 0 < error < 0.5 * step + 0.02 * float(exact.abs().max())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [1, 3, 16, 17, 40])
def test_the_product_is_that_of_the_rounded_weights_for_any_number_of_rows(
    kind: str, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantize, "_SLICE", 24)  # several slices, the last of them shorter
    layer = linear(64, 80, bias=True)
    packed = KINDS[kind][0](layer)
    packed.in_features = 64
    rounded = weights_of(packed) - layer.bias.float().unsqueeze(1)
    values = torch.randn(1, rows, 64).bfloat16()
    expected = F.linear(values.float(), rounded, layer.bias.float())
    found = packed(values)
    assert (found.shape, found.dtype) == ((1, rows, 80), torch.bfloat16)
    assert torch.allclose(found.float(), expected, atol=0.05, rtol=0.02)


def test_a_row_of_zeros_stays_zero() -> None:
    layer = linear(32, 16)
    layer.weight[3] = 0
    for make, _ in KINDS.values():
        assert make(layer)(torch.ones(1, 32, dtype=torch.bfloat16))[0, 3] == 0


def layers(model: Any) -> dict[str, type]:
    return {name: type(module) for name, module in model.named_modules() if "proj" in name or "head" in name}


def test_the_output_layer_has_eight_bits_and_embeddings_stay(tmp_path: Path) -> None:
    model, _ = load(tiny_model(tmp_path), "auto", "cpu", quantize="int4")
    found = layers(model)
    assert found.pop("lm_head") is Int8Linear
    assert set(found.values()) == {Int4Linear}
    assert model.get_input_embeddings().weight.dtype == model.dtype == torch.bfloat16


def test_an_output_layer_tied_to_the_embeddings_gets_weights_of_its_own() -> None:
    model = raw_model(0).to(torch.bfloat16)
    model.lm_head = nn.Linear(32, 40, bias=False, dtype=torch.bfloat16)
    model.lm_head.weight = model.get_input_embeddings().weight
    before = model.get_input_embeddings().weight.clone()
    quantize_model(model, "int8")
    assert isinstance(model.lm_head, Int8Linear)
    assert torch.equal(model.get_input_embeddings().weight, before)


def test_layers_whose_shape_the_operators_do_not_take_stay_as_they_are() -> None:
    model = raw_model(0).to(torch.bfloat16)  # an intermediate size of 48
    quantize_model(model, "int4")
    found = layers(model)
    assert found["model.layers.0.mlp.down_proj"] is nn.Linear
    assert found["model.layers.0.mlp.up_proj"] is Int4Linear
    assert found["model.layers.0.self_attn.k_proj"] is Int4Linear
    odd = raw_model(0, hidden_size=24, head_dim=6, intermediate_size=40)
    odd.lm_head = nn.Linear(24, 40)
    with pytest.raises(ModelError, match="no layer of LlamaForCausalLM can be quantised"):
        quantize_model(odd.to(torch.bfloat16), "int8")


@pytest.mark.parametrize(("kind", "most"), [("int8", 0.05), ("int4", 0.4)])
def test_logits_are_near_those_of_the_model_in_bfloat16(tmp_path: Path, kind: str, most: float) -> None:
    folder = tiny_model(tmp_path)
    ids = torch.arange(20, 60).unsqueeze(0)
    with torch.no_grad():
        exact, rounded = (
            load(folder, "bfloat16", "cpu", quantize=chosen)[0](ids).logits.float() for chosen in (None, kind)
        )
    difference = (exact - rounded).square().mean().sqrt() / exact.std()
    assert 0 < difference < most


@pytest.mark.parametrize("kind", KINDS)
def test_a_quantised_model_answers_in_threads(tmp_path: Path, kind: str) -> None:
    llm = LLM(tiny_model(tmp_path), quantize=kind, num_blocks=100)
    [answer] = llm.generate(["How can I sleep?"], SamplingParams(max_tokens=40))
    assert (answer.tokens, answer.forks > 0) == (40, True)
    llm.engine.check()


def test_a_kind_that_is_not_known_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="quantize is 'int3'; it must be int8 or int4"):
        load(tmp_path, "auto", "cpu", quantize="int3")


def test_torchao_rounds_as_we_do() -> None:
    pytest.importorskip("torchao")
    layer = linear(64, 32)
    values = torch.randn(5, 64).bfloat16()
    ours = Int8Linear(layer)(values).float()
    theirs = quantize._by_torchao(linear(64, 32), "int8")(values).float()
    assert torch.allclose(ours, theirs, atol=0.02)


def test_without_torchao_the_extra_is_named_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apar.extras.importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs torchao: .*apar-llm\[quantize\]"):
        quantize._by_torchao(linear(64, 32), "int8")
