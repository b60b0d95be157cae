"""Whole modules replaced by one or two kernels: norms, and feed-forward layers with a gate.

A small step of decoding is many small operations, and each costs microseconds. A module is recognised by what it
has, and replaced only if the replacement gives the same on random input: model classes stay as they are. What stays
runs on PyTorch, some of whose activations compute the last few numbers of a tensor in another way than the rest, if
they are no multiple of 64: there a row's last bits may depend on the other rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from apar.engine.native.linear import TYPES, PackedLinear

_LANES = 16
_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2}
_ACTIVATIONS: tuple[Callable[[Tensor], Tensor], ...] = (F.silu, partial(F.gelu, approximate="tanh"))


class FusedNorm(nn.Module):
    """The root-mean-square norm of the Llama family, or with `plus_one` that of Gemma."""

    def __init__(self, weight: Tensor, epsilon: float, plus_one: bool) -> None:
        super().__init__()
        self.weight, self.epsilon, self.plus_one = weight.detach(), epsilon, plus_one

    def forward(self, x: Tensor) -> Tensor:  # [..., D]
        """Returns `[..., D]`."""
        result: Tensor = torch.ops.apar.norm(x, self.weight, self.epsilon, self.plus_one)
        return result


class FusedFeedForward(nn.Module):
    """`down(activation(gate(x)) * up(x))`, with gate and up in one product.

    The activation is SiLU, or with `gelu` the approximation of GELU by tanh.
    """

    def __init__(self, gate: PackedLinear, up: PackedLinear, down: PackedLinear, gelu: bool) -> None:
        super().__init__()
        self.gelu = gelu
        self.columns = gate.out_features + up.out_features
        self.packed = torch.cat([gate.packed, up.packed])
        self.scales = None
        if gate.scales is not None and up.scales is not None:
            self.scales = torch.cat([gate.scales, up.scales])
        self.down = down

    def forward(self, x: Tensor) -> Tensor:  # [..., D]
        """Returns `[..., D]`."""
        both = torch.ops.apar.linear(x, self.packed, self.scales, None, self.columns)
        result: Tensor = self.down(torch.ops.apar.gate(both, self.gelu))
        return result


def fuse(model: nn.Module, dtype: torch.dtype) -> None:
    """Replace every module of a model for which one of the above does the same. Linear layers are packed before.

    `dtype` is what the model computes in.
    """
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            for replacement, like in (*_norms(child), *_feed_forwards(child, dtype)):
                if _same(child, replacement, like):
                    setattr(parent, name, replacement)
                    break


def _norms(module: nn.Module) -> Iterator[tuple[nn.Module, Tensor]]:
    weight = getattr(module, "weight", None)
    epsilon = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    if not type(module).__name__.endswith("RMSNorm") or not isinstance(weight, Tensor) or epsilon is None:
        return
    if weight.dim() == 1 and weight.numel() % _LANES == 0 and weight.dtype in TYPES:
        for plus_one in (False, True):
            yield FusedNorm(weight, epsilon, plus_one), weight.new_empty(weight.numel())


def _feed_forwards(module: nn.Module, dtype: torch.dtype) -> Iterator[tuple[nn.Module, Tensor]]:
    parts = dict(module.named_children())
    if set(parts) != {"gate_proj", "up_proj", "down_proj", "act_fn"}:
        return
    gate, up, down = parts["gate_proj"], parts["up_proj"], parts["down_proj"]
    if not (isinstance(gate, PackedLinear) and isinstance(up, PackedLinear) and isinstance(down, PackedLinear)):
        return
    if gate.bias is None and up.bias is None and _alike(gate, up):
        for gelu, activation in enumerate(_ACTIVATIONS):
            if _same_function(parts["act_fn"], activation):
                yield FusedFeedForward(gate, up, down, bool(gelu)), torch.empty(down.out_features, dtype=dtype)


@torch.inference_mode()
def _same_function(one: Callable[[Tensor], Tensor], other: Callable[[Tensor], Tensor]) -> bool:
    """Whether two activations are one: GELU and its approximation are closer than what bfloat16 tells apart."""
    numbers = torch.linspace(-8, 8, 1001)
    return torch.allclose(one(numbers), other(numbers), rtol=1e-5, atol=1e-5)


def _alike(gate: PackedLinear, up: PackedLinear) -> bool:
    """Whether their panels can stand one after the other."""
    whole = gate.out_features % _LANES == 0
    return whole and gate.packed.dtype == up.packed.dtype and gate.packed.shape == up.packed.shape


@torch.inference_mode()
def _same(module: nn.Module, replacement: nn.Module, like: Tensor) -> bool:
    """Whether both give the same, up to rounding, on small and large rows of random numbers `like` [D]."""
    rows = torch.randn(3, like.numel(), generator=torch.Generator().manual_seed(0))
    rows = (rows * torch.tensor([[0.1], [1.0], [10.0]])).to(like.dtype).unsqueeze(0)
    expected, found = module(rows), replacement(rows)
    # Row by row: large numbers would hide that a gate is another function around zero.
    errors = (found - expected).abs().amax(-1) / expected.abs().amax(-1).clamp(min=1e-6)
    return bool((errors <= _TOLERANCE[like.dtype]).all())
