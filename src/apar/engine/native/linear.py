"""Linear layers whose weight is laid out for few rows: a decoding step is bound by reading it once.

PyTorch's own reads it at a fifth of the memory's speed in bfloat16 with one row (docs/engine.md).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

TYPES = (torch.float32, torch.bfloat16)


class PackedLinear(nn.Module):
    """Does what a `nn.Linear` does, for inference. The weight itself is not kept."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.out_features = linear.out_features
        # Plain attributes: a buffer takes a slow way to be looked up, and there are hundreds a step.
        self.packed = torch.ops.apar.pack(linear.weight.detach())
        bias: Tensor | None = linear.bias
        self.bias = None if bias is None else bias.detach()

    def forward(self, x: Tensor) -> Tensor:  # [..., K]
        """Returns `[..., out_features]`."""
        result: Tensor = torch.ops.apar.linear(x, self.packed, None, self.bias, self.out_features)
        return result


def pack_linears(model: nn.Module) -> None:
    """Replace the linear layers of a model by packed ones; those of other classes or types stay."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear) and _fits(child):
                setattr(parent, name, PackedLinear(child))


def _fits(linear: nn.Linear) -> bool:
    weight = linear.weight
    plain = type(linear) is nn.Linear and type(weight) is nn.Parameter
    return plain and weight.dtype in TYPES and weight.device.type == "cpu"
