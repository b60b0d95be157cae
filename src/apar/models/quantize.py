"""Weights of 8 or 4 bits, multiplied in bfloat16: less to read from memory for every token.

What is quantised are the linear layers. Embeddings stay as they are, also where the output layer is tied to
them: it gets weights of its own, always of 8 bits, because an error in it is an error in every logit.

On the CPU the products are PyTorch's own operators for packed weights, and torchao is not needed: its products
unpack the whole weight every time, at a third of the speed of bfloat16. Measured on one thread of an AMD EPYC
with 24 layers of hidden size 896 and 152k tokens, the whole model in one run, as speed over bfloat16:

    rows of a pass                1      4      8      32     weights
    int8, PyTorch's bfloat16      2.4    1.8    1.2    0.64   732 MiB instead of 942
    int4, PyTorch's bfloat16      2.9    2.1    1.5    0.64   603 MiB

With the native kernels (`apar.engine.native`) layers of 8 bits are packed like those of bfloat16 and multiplied
exactly as bfloat16, so rows keep their bits under load: by layer 1.2 to 1.6 times as fast as packed bfloat16 with one
to four rows, 1.1 to 1.2 times with eight, about the same where prompts are read (one thread, the layers of the same
shape). Layers of 4 bits stay with PyTorch's operator, whose result may depend in its last bits on the other rows. On
the text of a model of 6 million parameters, the likeliest next token is that of float32 at 98 % of the places in
bfloat16, 97 % in int8 and 80 % in int4.

On a GPU torchao multiplies; that has not been run or measured.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from apar.errors import ModelError
from apar.extras import require

KINDS = ("int8", "int4")

_FITTING = 32
"""The operators on the CPU read beyond rows whose length is no multiple of 16; a group of 4 bits has 32 numbers."""

_PACKED_ROWS = 16
"""Of more rows than that, an ordinary product with weights unpacked for it is faster."""

_SLICE = 2048
"""Outputs unpacked at a time: they stay in the processor's cache, and a large layer is never unpacked whole."""


def check_kind(kind: str | None) -> None:
    """Raise ModelError for a quantisation that is not known."""
    if kind is not None and kind not in KINDS:
        raise ModelError(f"quantize is {kind!r}; it must be {' or '.join(KINDS)}")


def quantize_model(model: Any, kind: str) -> None:
    """Quantise the linear layers of a bfloat16 Hugging Face model in place, to "int8" or "int4".

    A layer whose shape the operators do not take stays as it is. Raises ModelError if that is every layer,
    UserError where the model is on a GPU and torchao is not installed.
    """
    head = model.get_output_embeddings()
    layers = [name for name, layer in model.named_modules() if type(layer) is nn.Linear and _fits(layer)]
    if not layers:
        raise ModelError(f"no layer of {type(model).__name__} can be quantised: the rows must be multiples of 32 long")
    pack = _packed if model.device.type == "cpu" else _by_torchao
    for name in layers:
        layer = model.get_submodule(name)
        model.set_submodule(name, pack(layer, "int8" if layer is head else kind))


def _fits(layer: nn.Linear) -> bool:
    return layer.in_features % _FITTING == 0


def _packed(layer: nn.Linear, kind: str) -> nn.Module:
    return Int4Linear(layer) if kind == "int4" and layer.out_features % Int4Linear.ROWS == 0 else Int8Linear(layer)


class Int8Linear(nn.Module):
    """A linear layer `[..., in] -> [..., out]` with 8 bits a weight and one scale for each output."""

    weight: Tensor  # [out, in] int8
    scale: Tensor  # [out]

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        exact = layer.weight.detach().float()
        # Rounded first, so that the rounding of the scale is no further error of the weights.
        scale = (exact.abs().amax(1) / 127).clamp_min(1e-9).to(layer.weight.dtype)
        self.register_buffer("weight", (exact / scale.float().unsqueeze(1)).round().clamp(-127, 127).to(torch.int8))
        self.register_buffer("scale", scale)
        self.bias = layer.bias

    def forward(self, values: Tensor) -> Tensor:
        rows = values.flatten(0, -2)
        if len(rows) <= _PACKED_ROWS:
            product = torch._weight_int8pack_mm(rows, self.weight, self.scale)
        else:
            slices = [F.linear(rows, weight.to(rows.dtype)) for weight in torch.split(self.weight, _SLICE)]
            product = torch.cat(slices, 1) * self.scale
        return _with_bias(product, self.bias, values)


class Int4Linear(nn.Module):
    """A linear layer `[..., in] -> [..., out]` with 4 bits a weight, and a scale and a zero for each 32 of them."""

    GROUP = 32
    ROWS = 16  # the operator packs whole blocks of so many outputs

    packed: Tensor  # [out, in / 2], in the order of the operator
    scales_and_zeros: Tensor  # [in / GROUP, out, 2]

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        exact = layer.weight.detach().float().view(layer.out_features, -1, self.GROUP)
        low, high = exact.amin(2, keepdim=True), exact.amax(2, keepdim=True)
        dtype = layer.weight.dtype
        scale = ((high - low) / 15).clamp_min(1e-6).to(dtype)
        zero = (low + 8 * scale.float()).to(dtype)  # what the middle number, 8, stands for
        numbers = ((exact - zero.float()) / scale.float() + 8).round().clamp(0, 15).to(torch.int32).flatten(1)
        self.register_buffer("packed", torch.ops.aten._convert_weight_to_int4pack_for_cpu(numbers, 1))
        self.register_buffer("scales_and_zeros", torch.cat((scale, zero), 2).transpose(0, 1).contiguous())
        self.bias = layer.bias

    def forward(self, values: Tensor) -> Tensor:
        rows = values.flatten(0, -2)
        product = torch.ops.aten._weight_int4pack_mm_for_cpu(rows, self.packed, self.GROUP, self.scales_and_zeros)
        return _with_bias(product, self.bias, values)


def _with_bias(product: Tensor, bias: Tensor | None, values: Tensor) -> Tensor:
    product = product if bias is None else product + bias
    return product.view(*values.shape[:-1], product.shape[-1])


def _by_torchao(layer: nn.Module, kind: str) -> nn.Module:
    """The layer with weights of torchao, which choose their operator by the device."""
    require("quantize", "torchao")
    from torchao.quantization import Int4WeightOnlyConfig, Int8WeightOnlyConfig, quantize_
    from torchao.quantization.quantize_.workflows import Int4PackingFormat

    # The packing whose operator comes with PyTorch; the others need libraries of their own.
    four = Int4WeightOnlyConfig(group_size=32, int4_packing_format=Int4PackingFormat.TILE_PACKED_TO_4D)
    quantize_(layer, four if kind == "int4" else Int8WeightOnlyConfig())
    return layer
