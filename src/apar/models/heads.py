"""Medusa heads: small networks on a frozen model that guess the tokens after its next one.

Head k (1, 2, ...) reads the hidden state with which the model predicts the next token of a path, and predicts the
token k places after that one. It is a few residual layers, `x + SiLU(Linear(x))`, whose result goes through an
output layer: the model's own, which all heads share (`tied`), or one of the head's own. Linear layers start at zero,
so that a new head says what the model says (Medusa, arXiv 2401.10774; APAR paper, section 4).

The names of the weights are those that vLLM reads, see `apar.models.head_files`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from apar.errors import ModelError

OutputLayer = Callable[[Tensor], Tensor]
"""From hidden states [..., hidden] to logits [..., vocabulary]."""


@dataclass(frozen=True, slots=True)
class HeadsShape:
    """The sizes of a set of heads; the defaults are the APAR paper's. Raises ModelError for what cannot be.

    With `tied` the output layer is the model's own. `bias` is of the linear layers in the heads.
    """

    hidden_size: int
    vocab_size: int
    heads: int = 2
    layers: int = 2
    tied: bool = True
    bias: bool = False

    def __post_init__(self) -> None:
        for name in ("hidden_size", "vocab_size", "heads", "layers"):
            if getattr(self, name) < 1:
                raise ModelError(f"the heads' {name} is {getattr(self, name)}; it must be at least 1")


class ResidualBlock(nn.Module):
    """The residual layers of one head."""

    def __init__(self, shape: HeadsShape) -> None:
        super().__init__()
        size = shape.hidden_size
        self.layers = nn.ModuleList(nn.Linear(size, size, bias=shape.bias) for _ in range(shape.layers))
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(self, hidden: Tensor) -> Tensor:
        """From hidden states [..., hidden] to such."""
        for layer in self.layers:
            hidden = hidden + nn.functional.silu(layer(hidden))
        return hidden


class MedusaHeads(nn.Module):
    """A set of heads. `lm_heads` are their own output layers, and none where the model's is shared."""

    def __init__(self, shape: HeadsShape) -> None:
        super().__init__()
        self.shape = shape
        self.blocks = nn.ModuleList(ResidualBlock(shape) for _ in range(shape.heads))
        own = 0 if shape.tied else shape.heads
        self.lm_heads = nn.ModuleList(nn.Linear(shape.hidden_size, shape.vocab_size, bias=False) for _ in range(own))

    @classmethod
    def on(cls, model: Any, heads: int = 2, layers: int = 2, *, tied: bool = True) -> Self:
        """New heads, in float32, for a Hugging Face model; output layers of their own begin as copies of its own.

        Raises ModelError where they are asked for and the model's output layer has a bias, which ours have not.
        """
        output = model.get_output_embeddings()
        vocabulary, hidden = output.weight.shape
        created = cls(HeadsShape(hidden, vocabulary, heads, layers, tied=tied))
        if not tied and has_bias(output):
            raise ModelError(f"the output layer of {type(model).__name__} has a bias: its heads must share it (tied)")
        for layer in created.lm_heads:
            assert isinstance(layer, nn.Linear)
            layer.weight.data.copy_(output.weight)
        return created

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    def forward(self, hidden: Tensor) -> list[Tensor]:
        """The states of all heads, each [..., hidden], from the model's last hidden states [..., hidden].

        Those are what the model's output layer reads, its last norm included.
        """
        return [block(hidden) for block in self.blocks]

    def output_of(self, head: int, output: OutputLayer) -> OutputLayer:
        """The output layer of head number `head`, counted from 0; `output` is the model's."""
        return output if self.shape.tied else self.lm_heads[head]

    def logits(self, hidden: Tensor, output: OutputLayer) -> Tensor:
        """The logits of all heads, [heads, ..., vocabulary]."""
        return torch.stack([self.output_of(head, output)(state) for head, state in enumerate(self(hidden))])


def has_bias(layer: Any) -> bool:
    """Whether an output layer adds a bias that is not zero."""
    bias = getattr(layer, "bias", None)
    return bias is not None and bool(bias.detach().any())
