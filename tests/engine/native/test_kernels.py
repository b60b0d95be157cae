"""The C++ kernels beside plain PyTorch."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from apar.engine.native import fuse, pack_linears
from apar.engine.native.build import available
from apar.engine.native.fused_modules import FusedFeedForward, FusedNorm
from apar.engine.native.linear import PackedLinear
from apar.models.quantize import Int8Linear, quantize_model
from tests.engine.tiny import FAMILIES, tiny_model

pytestmark = pytest.mark.skipif(not available(), reason="there is no C++ compiler")
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("columns", "inner"), [(16, 32), (5, 7), (130, 65), (400, 48)])
def test_a_packed_layer_gives_what_the_layer_gives_for_any_number_of_rows(
    dtype: torch.dtype, bias: bool, columns: int, inner: int
) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(inner, columns, bias=bias).to(dtype).requires_grad_(False)
    packed = PackedLinear(linear.weight, linear.bias)
    for rows in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 25):
        x = torch.randn(2, rows, inner).to(dtype)
        torch.testing.assert_close(packed(x), linear(x), atol=TOLERANCE[dtype], rtol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("eight_bits", [False, True])
@pytest.mark.parametrize(("columns", "inner"), [(100, 200), (576, 65), (50, 96)])
def test_a_row_has_the_same_bits_alone_and_among_others(
    columns: int, inner: int, eight_bits: bool, bias: bool, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(inner, columns, bias=bias).to(dtype).requires_grad_(False)
    packed = PackedLinear.of(Int8Linear(linear) if eight_bits else linear)
    assert packed is not None
    x = torch.randn(77, inner).to(dtype)
    together = packed(x)
    for rows in (*range(1, 18), 23, 32, 63, 64):
        assert torch.equal(packed(x[:rows]), together[:rows])
        assert torch.equal(packed(x[-rows:]), together[-rows:])


@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_of_8_bits_is_packed_as_it_is(bias: bool) -> None:
    torch.manual_seed(0)
    layer = Int8Linear(nn.Linear(96, 50, bias=bias).bfloat16().requires_grad_(False))
    packed = PackedLinear.of(layer)
    assert packed is not None
    x = torch.randn(20, 96).bfloat16()
    torch.testing.assert_close(packed(x), layer(x), atol=2e-2, rtol=2e-2)


def test_a_quantised_model_is_packed_and_fused_too() -> None:
    model = tiny_model(3, "llama").bfloat16()
    quantize_model(model, "int8")
    ids = torch.arange(3, 23).unsqueeze(0)
    expected = model(ids).logits
    pack_linears(model)
    fuse(model, torch.bfloat16)
    assert {"FusedFeedForward", "PackedLinear"} <= kinds(model)
    assert (model(ids).logits - expected).abs().max() <= 0.1 * expected.abs().max()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_a_model_with_its_modules_replaced_is_as_exact_as_before(family: str, dtype: torch.dtype) -> None:
    exact = tiny_model(3, family).double()
    model = copy.deepcopy(exact).to(dtype)
    fused = copy.deepcopy(model)
    pack_linears(fused)
    fuse(fused, dtype)
    ids = torch.arange(3, 23).unsqueeze(0)
    expected = exact(ids).logits
    before, after = ((one(ids).logits - expected).abs().mean() for one in (model, fused))
    assert after <= 1.5 * before


def kinds(model: Any) -> set[str]:
    return {type(module).__name__ for module in model.modules()}


def test_norms_and_gated_layers_are_recognised() -> None:
    model = tiny_model(3, "llama")
    pack_linears(model)
    fuse(model, torch.float32)
    assert {"FusedNorm", "FusedFeedForward", "PackedLinear"} <= kinds(model)
    assert not {"LlamaRMSNorm", "LlamaMLP", "Linear"} & kinds(model)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_a_norm_that_adds_one_to_its_weight_is_recognised(dtype: torch.dtype) -> None:
    model = tiny_model(3, "gemma").to(dtype)
    pack_linears(model)
    fuse(model, dtype)
    assert all(module.plus_one for module in model.modules() if isinstance(module, FusedNorm))
    assert "FusedNorm" in kinds(model)
    # Its gate is not a SiLU.
    assert all(module.gelu for module in model.modules() if isinstance(module, FusedFeedForward))
    assert "FusedFeedForward" in kinds(model)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_a_gate_that_is_only_nearly_the_same_stays(dtype: torch.dtype) -> None:
    model = tiny_model(3, "llama", hidden_act="gelu").to(dtype)
    pack_linears(model)
    fuse(model, dtype)
    assert "FusedFeedForward" not in kinds(model)


class OddRMSNorm(nn.Module):
    """Looks like a norm, and is none."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(32))
        self.eps = 1e-6

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * x / x.abs().mean(-1, keepdim=True)


def test_a_module_that_only_looks_alike_stays() -> None:
    model = nn.Sequential(OddRMSNorm())
    fuse(model, torch.float32)
    assert isinstance(model[0], OddRMSNorm)


@pytest.mark.parametrize("gelu", [False, True])
def test_extreme_gates_are_finite(gelu: bool) -> None:
    both = torch.tensor([[-1e4, -90.0, -1.0, 0.0, 1.0, 90.0, 1e4, 5.0, -1e30, 1e30, -5.0, -0.1, 0.1, 2.0, -2.0, 9.0]])
    expected = nn.functional.gelu(both, approximate="tanh") if gelu else nn.functional.silu(both)
    found = torch.ops.apar.gate(torch.cat([both, torch.full_like(both, 2.0)], -1), gelu)
    torch.testing.assert_close(found, expected * 2.0, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("size", [16, 48, 576])
def test_a_row_has_the_same_bits_after_norms_and_gates(size: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    weight, x = torch.randn(size).to(dtype), torch.randn(70, 2 * size).to(dtype)
    kernels = [
        *(lambda rows, one=one: torch.ops.apar.norm(rows[:, :size], weight, 1e-6, one) for one in (False, True)),
        *(lambda rows, gelu=gelu: torch.ops.apar.gate(rows, gelu) for gelu in (False, True)),
    ]
    for kernel in kernels:
        together = kernel(x)
        for rows in (1, 2, 3, 7, 64):
            assert torch.equal(kernel(x[:rows]), together[:rows])


def test_what_is_no_plain_linear_layer_is_not_packed() -> None:
    class Own(nn.Linear):
        pass

    model = nn.Sequential(Own(4, 4), nn.Linear(4, 4).half())
    pack_linears(model)
    assert not any(isinstance(module, PackedLinear | FusedFeedForward) for module in model)
