"""The loss of a batch under tree attention, for training and for measuring."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from apar.train.batches import PackedBatch
from apar.train.mask import attention_mask
from apar.train.samples import IGNORE

Head = Callable[[Tensor], Tensor]
"""An output layer: from hidden states to logits."""
CHUNK_BYTES = 1 << 29
"""Memory of the logits that exist at once; where there are more, they are computed again for the gradients."""
_AFTER_THE_HEAD = ("final_logit_softcapping", "logit_scale", "logits_scaling")
"""Settings of models that change their logits after the output layer."""


def token_losses(model: Any, batch: PackedBatch) -> Tensor:
    """Cross entropy of every label, [packs, length] in float32 nats; 0 where there is no label.

    Logits are computed only where there are labels, in chunks: inside the output layer's own call, so that wrappers
    around the model (data parallel, sharded) see an ordinary forward pass. `model` may be so wrapped.
    """
    labels = batch.labels
    chosen = labels != IGNORE
    found = torch.zeros(labels.shape, device=labels.device)
    found[chosen] = _label_losses(model, batch, chosen, labels[chosen])
    return found


def _label_losses(model: Any, batch: PackedBatch, chosen: Tensor, labels: Tensor) -> Tensor:
    inner = unwrapped(model)
    changes = any(getattr(inner.config, name, None) not in (None, 1, 1.0) for name in _AFTER_THE_HEAD)

    def outputs(head: Head, hidden: Tensor) -> Tensor:
        wanted = hidden[chosen]
        return head(wanted)[None] if changes else _chunked(head, wanted, labels, inner.config.vocab_size)[None, :, None]

    with _instead_of_logits(inner, outputs):
        result = _forward(model, inner, batch)
    return F.cross_entropy(result[0].float(), labels, reduction="none") if changes else result[0, :, 0]


def final_states(model: Any, batch: PackedBatch) -> Tensor:
    """What the output layer of a Transformers model reads under tree attention, [packs, length, hidden size]."""
    read: list[Tensor] = []

    def outputs(head: Head, hidden: Tensor) -> Tensor:
        read.append(hidden)
        return hidden[..., :1]

    with _instead_of_logits(model, outputs):
        _forward(model, model, batch)
    return read[0]


def _forward(model: Any, inner: Any, batch: PackedBatch) -> Any:
    """What the model gives in the place of logits."""
    mask = attention_mask(inner.config, batch.subtree_end, batch.positions, _dtype(inner, batch))
    return model(input_ids=batch.ids, position_ids=batch.positions, attention_mask=mask, use_cache=False).logits


def unwrapped(model: Any) -> Any:
    """The Transformers model in what data parallelism, accelerate and PEFT put around it."""
    model = getattr(model, "module", model)
    return model.get_base_model() if hasattr(model, "get_base_model") else model


@contextmanager
def _instead_of_logits(model: Any, outputs: Callable[[Head, Tensor], Tensor]) -> Iterator[None]:
    """While inside, the model's output layer returns `outputs(its own forward, hidden states)`."""
    head = model.get_output_embeddings()
    own = head.forward
    head.forward = lambda hidden: outputs(own, hidden)
    try:
        yield
    finally:
        del head.forward


def _chunked(head: Head, hidden: Tensor, labels: Tensor, vocabulary: int) -> Tensor:
    """The losses of `hidden` [labels, width]; at most `CHUNK_BYTES` of logits at once."""

    def losses(some: Tensor, wanted: Tensor) -> Tensor:
        return F.cross_entropy(head(some).float(), wanted, reduction="none")

    size = max(1, CHUNK_BYTES // (4 * vocabulary))
    if len(labels) <= size:
        return losses(hidden, labels)
    chunks = zip(torch.split(hidden, size), torch.split(labels, size), strict=True)
    return torch.cat([checkpoint(losses, some, wanted, use_reentrant=False) for some, wanted in chunks])


def _dtype(model: Any, batch: PackedBatch) -> torch.dtype:
    """That of the attention scores."""
    kind = batch.ids.device.type
    dtype: torch.dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else model.dtype
    return dtype


@dataclass(frozen=True, slots=True)
class HeldOutLoss:
    """Mean loss in nats a token: over the answers' text, and over the control tokens (`[Fork]` and end)."""

    text: float
    control: float
    text_tokens: int
    control_tokens: int

    @property
    def all(self) -> float:
        """Over both."""
        total = self.text * self.text_tokens + self.control * self.control_tokens
        return total / max(1, self.text_tokens + self.control_tokens)

    @classmethod
    def of(cls, sums: Tensor) -> HeldOutLoss:
        """From `loss_sums` of a batch, or their sum over batches."""
        (text, text_tokens), (control, control_tokens) = sums.tolist()
        means = text / max(text_tokens, 1), control / max(control_tokens, 1)
        return cls(*means, int(text_tokens), int(control_tokens))


@torch.no_grad()
def loss_sums(model: Any, batch: PackedBatch, precision: torch.dtype = torch.float32) -> Tensor:
    """Of text and of control tokens the sum of their losses in nats, and their number: [2, 2] in float64.

    The text part can be compared between forked and sequential models.
    """
    device = next(model.parameters()).device
    batch = batch.to(device)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == torch.bfloat16):
        losses = token_losses(model, batch)
    chosen = [(batch.labels != IGNORE) & (batch.is_text == is_text) for is_text in (True, False)]
    rows = [torch.stack([losses[some].sum().double(), some.sum().double()]) for some in chosen]
    return torch.stack(rows)
