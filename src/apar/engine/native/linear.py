"""Linear layers whose weight is laid out for few rows: a decoding step is bound by reading it once.

PyTorch's own reads it at a fifth of the memory's speed in bfloat16 with one row (docs/engine.md).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from apar.models.quantize import Int8Linear

TYPES = (torch.float32, torch.bfloat16)


class PackedLinear(nn.Module):
    """Does what a linear layer does, for inference. The weight itself is not kept.

    `weight` [N, K] in float32, bfloat16, or 8 bits with `scales` [N]; `bias` [N] in the type of the input.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, scales: Tensor | None = None) -> None:
        super().__init__()
        self.out_features = len(weight)
        # Plain attributes: a buffer takes a slow way to be looked up, and there are hundreds a step.
        self.packed = torch.ops.apar.pack(weight.detach())
        self.scales = None if scales is None else scales.detach().float()
        self.bias = None if bias is None else bias.detach()

    @classmethod
    def of(cls, layer: nn.Module) -> PackedLinear | None:
        """The layer packed; None for one of another class or type."""
        if type(layer) is Int8Linear:
            return cls(layer.weight, layer.bias, layer.scale)
        if type(layer) is not nn.Linear or type(layer.weight) is not nn.Parameter:
            return None
        return cls(layer.weight, layer.bias) if layer.weight.dtype in TYPES else None

    def forward(self, x: Tensor) -> Tensor:  # [..., K]
        """Returns `[..., N]`."""
        result: Tensor = torch.ops.apar.linear(x, self.packed, self.scales, self.bias, self.out_features)
        return result


def pack_linears(model: nn.Module) -> None:
    """Replace the linear layers of a model on the CPU by packed ones; those of other classes or types stay."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if packed := PackedLinear.of(child):
                setattr(parent, name, packed)
