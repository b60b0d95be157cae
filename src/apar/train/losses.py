"""The loss of a batch under tree attention, for training and for measuring."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from apar.train.batches import PackedBatch
from apar.train.mask import additive_mask, dense_mask
from apar.train.samples import IGNORE


def token_losses(model: Any, batch: PackedBatch) -> Tensor:
    """Cross entropy of every label, [packs, length] in float32 nats; 0 where there is no label."""
    logits = model(
        input_ids=batch.ids,
        position_ids=batch.positions,
        attention_mask=_mask(model, batch.subtree_end),
        use_cache=False,
    ).logits
    flat = F.cross_entropy(logits.flatten(0, 1).float(), batch.labels.flatten(), ignore_index=IGNORE, reduction="none")
    return flat.view(batch.labels.shape)


def _mask(model: Any, subtree_end: Tensor) -> Tensor:
    """Tree attention in the form that the model's attention takes: "eager" adds the mask, the others read booleans."""
    if model.config._attn_implementation != "eager":
        return dense_mask(subtree_end)
    dtype = (
        torch.get_autocast_dtype(subtree_end.device.type)
        if torch.is_autocast_enabled(subtree_end.device.type)
        else model.dtype
    )
    return additive_mask(subtree_end, dtype)


@dataclass(frozen=True, slots=True)
class HeldOutLoss:
    """Mean loss in nats a token: over the answers' text, and over the control tokens (`[Fork]` and end)."""

    text: float
    control: float
    text_tokens: int
    control_tokens: int


@torch.inference_mode()
def held_out_loss(model: Any, batches: Iterable[PackedBatch], precision: torch.dtype = torch.float32) -> HeldOutLoss:
    """Measure a model on batches; the text part can be compared between forked and sequential models."""
    device = next(model.parameters()).device
    sums = {True: 0.0, False: 0.0}
    counts = {True: 0, False: 0}
    for batch in batches:
        batch = batch.to(device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == torch.bfloat16):
            losses = token_losses(model, batch)
        for is_text in (True, False):
            chosen = (batch.labels != IGNORE) & (batch.is_text.bool() == is_text)
            sums[is_text] += float(losses[chosen].sum())
            counts[is_text] += int(chosen.sum())
    mean = {kind: sums[kind] / max(counts[kind], 1) for kind in (True, False)}
    return HeldOutLoss(mean[True], mean[False], counts[True], counts[False])
