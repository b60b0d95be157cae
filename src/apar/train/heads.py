"""The labels and the loss of Medusa heads (`apar.models.heads`) on packed trees.

Labels follow the path: the token after the next one of `[Fork]` is the next sibling's second, what follows `[Child]`
is the detail. The frozen model's hidden states are given: heads see nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from apar.models.heads import MedusaHeads, OutputLayer
from apar.train.samples import IGNORE, NO_TARGET

CHUNK = 512
"""Labels whose logits exist at one time: with 50,000 tokens and their gradients some 300 MB in float32."""
TOP = 5


class HeadsBatch(Protocol):
    """What is needed of a batch: [packs, length] each, as `apar.train.samples.Sample` describes them."""

    @property
    def ids(self) -> Tensor: ...
    @property
    def next(self) -> Tensor: ...
    @property
    def target(self) -> Tensor: ...


class HeadsLoss(NamedTuple):
    """The loss of some labels, in sums that can be added over batches: the mean is `loss_sum / weight_sum`.

    `weight_sum` is the number of labels, each with the weight of its head. `by_head` [heads, 4] holds for each head
    how many labels it has, the sum of their losses in nats (not weighted), and how often the label was the likeliest
    token, and one of the five likeliest; float64, without a gradient.
    """

    loss_sum: Tensor
    weight_sum: Tensor
    by_head: Tensor


@dataclass(frozen=True, slots=True)
class HeadFigures:
    """Of one head the mean loss in nats, and the share of labels that are its likeliest token, or among its five."""

    labels: int
    loss: float
    top1: float
    top5: float

    @classmethod
    def of(cls, by_head: Tensor) -> list[HeadFigures]:
        """Of each head, from `HeadsLoss.by_head` of a batch, or its sum over batches."""
        return [cls(int(labels), *(value / max(labels, 1) for value in values)) for labels, *values in by_head.tolist()]


def head_labels(ids: Tensor, next: Tensor, target: Tensor, heads: int) -> Tensor:
    """What each head is to predict at each token, [heads, packs, length]; `IGNORE` where nothing.

    The arguments are [packs, length]. Head k has a label where the model's own next token and the k after it on the
    path are targets.
    """
    labels = torch.full((heads, *ids.shape), IGNORE, dtype=ids.dtype, device=ids.device)
    has_label = target != NO_TARGET
    at = next
    for head in range(heads):
        # `at` is the token that stands head + 1 places on; where there is none, any place serves as none counts.
        before = at.clamp(min=0)
        has_label = has_label & (target.gather(1, before) != NO_TARGET)
        at = next.gather(1, before)
        labels[head] = torch.where(has_label, ids.gather(1, at.clamp(min=0)), IGNORE)
    return labels


def heads_loss(
    heads: MedusaHeads,
    hidden: Tensor,
    batch: HeadsBatch,
    output: OutputLayer,
    *,
    decay: float = 1.0,
    chunk: int = CHUNK,
) -> HeadsLoss:
    """Cross entropy of the heads on a batch.

    `hidden` [packs, length, hidden] is what the frozen model gives to its output layer, under tree attention, and
    `output` is that layer; nothing of the model gets a gradient. With `decay` 1 the loss is the mean over the labels
    of all heads; else labels of head k = 1, 2, ... count `decay ** k` (Medusa: 0.8). Logits are computed for `chunk`
    labels at a time, and their gradients at once, so that they are never kept.
    """
    labels = head_labels(batch.ids, batch.next, batch.target, heads.shape.heads)
    weights = torch.tensor([decay ** (head + 1) for head in range(len(labels))], device=hidden.device)
    sums, counts = [], []
    for head, wanted in enumerate(labels):
        chosen = wanted != IGNORE
        loss, correct = _head_loss(heads, head, hidden.detach()[chosen], wanted[chosen], output, chunk)
        sums.append(loss)
        counts.append(torch.stack([chosen.sum().double(), loss.detach().double(), *correct.double()]))
    by_head = torch.stack(counts)
    return HeadsLoss((weights * torch.stack(sums)).sum(), (weights * by_head[:, 0]).sum(), by_head)


def _head_loss(
    heads: MedusaHeads, head: int, hidden: Tensor, labels: Tensor, output: OutputLayer, chunk: int
) -> tuple[Tensor, Tensor]:
    """The summed loss of one head on hidden states [labels, hidden], and its counts of correct labels [2]."""
    states = heads.blocks[head](hidden.to(heads.dtype))
    layer = heads.output_of(head, output)
    own = [] if heads.shape.tied else list(heads.lm_heads[head].parameters())
    if heads.shape.tied:
        states = states.to(hidden.dtype)  # what the model's output layer reads
    apply: Any = _ChunkedLoss.apply  # has no types
    loss, correct = apply(states, labels, layer, chunk, torch.is_grad_enabled(), *own)
    return loss, correct


class _ChunkedLoss(torch.autograd.Function):
    """The summed cross entropy of states [labels, hidden], and how many labels are first and among the first five.

    With `trained`, the gradients of the states, and of the layer's own weights where they are given, are computed
    with the loss, chunk by chunk.
    """

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, labels: Tensor, layer: OutputLayer, chunk: int, trained: bool, *weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        loss = torch.zeros((), device=states.device)
        correct = torch.zeros(2, dtype=torch.long, device=states.device)
        of_states, of_weights = torch.empty_like(states), [torch.zeros_like(weight) for weight in weights]
        pieces = (torch.split(each, chunk) for each in (states, labels, of_states))
        for piece, label, gradient in zip(*pieces, strict=True):
            with torch.set_grad_enabled(trained):
                leaf = piece.detach().requires_grad_(trained)
                logits = layer(leaf).float()
                part = F.cross_entropy(logits, label, reduction="sum")
            if trained:
                first, *others = torch.autograd.grad(part, (leaf, *weights))
                gradient.copy_(first)
                for total, more in zip(of_weights, others, strict=True):
                    total += more
            loss += part.detach()
            correct += _correct(logits.detach(), label)
        ctx.mark_non_differentiable(correct)
        ctx.save_for_backward(of_states, *of_weights)
        return loss, correct

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> Any:
        states, *weights = (gradient * outer[0] for gradient in ctx.saved_tensors)
        return states, None, None, None, None, *weights


def _correct(logits: Tensor, labels: Tensor) -> Tensor:
    """How many labels are the likeliest token, and how many are one of the five likeliest: [2]."""
    likeliest = logits.topk(min(TOP, logits.shape[-1])).indices == labels[:, None]
    return torch.stack([likeliest[:, 0].sum(), likeliest.sum()])
