"""Training Medusa heads on a frozen model, by the same Trainer and data."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from apar.errors import ModelError
from apar.models.head_files import load_heads
from apar.models.heads import MedusaHeads
from apar.train.arguments import METRIC
from apar.train.batches import PackedBatch
from apar.train.dataset import trainer_batch
from apar.train.heads import HeadFigures, HeadsLoss, head_labels, heads_loss
from apar.train.losses import final_states
from apar.train.recipe import HeadsConfig
from apar.train.shares import summed
from apar.train.trainer import TreeTrainer


class HeadsModel(nn.Module):
    """Heads beside the frozen model that they read. Only the heads are parameters, and only they are stored."""

    def __init__(self, base: Any, settings: HeadsConfig) -> None:
        super().__init__()
        base.requires_grad_(False)
        base.eval()
        self.heads = _heads(base, settings)
        self.decay = settings.decay
        self._base = (base,)  # no submodule

    @property
    def base(self) -> Any:
        """The frozen Transformers model."""
        return self._base[0]

    @property
    def config(self) -> Any:
        return self.base.config

    def forward(self, batch: PackedBatch) -> HeadsLoss:
        """The loss of all heads on a batch, as sums."""
        with torch.no_grad():
            hidden = final_states(self.base, batch)
        return heads_loss(self.heads, hidden, batch, self.base.get_output_embeddings(), decay=self.decay)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        """Move the frozen model along."""
        self.base._apply(fn, recurse)
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]


def _heads(base: Any, settings: HeadsConfig) -> MedusaHeads:
    """New heads, or those to go on from, in float32."""
    new = MedusaHeads.on(base, settings.heads, settings.layers, tied=settings.tied)
    if settings.start is None:
        return new
    heads = load_heads(settings.start)
    if heads.shape != new.shape:
        raise ModelError(f"the heads {settings.start} are not of the recipe's shape: {heads.shape}, not {new.shape}")
    return heads.train()


class HeadsTrainer(TreeTrainer):
    """Trains a `HeadsModel`; the loss is that of all labels, each times its head's weight, over their number."""

    def summed_loss(self, model: Any, batch: PackedBatch) -> Tensor:
        loss: HeadsLoss = model(batch)
        return loss.loss_sum

    @torch.no_grad()
    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """By head the mean loss and the shares of labels that are first, or among the first five, on held-out text."""
        batches = [batch for several in self.held_out.values() for batch in several]
        model: Any = self.model
        counts = summed(batches, functools.partial(self._measured, model), self.accelerator)
        metrics: dict[str, float] = {}
        for number, head in enumerate(HeadFigures.of(counts), 1):
            figures = {"loss": head.loss, "top1": head.top1, "top5": head.top5}
            metrics |= {f"eval_head{number}_{name}": value for name, value in figures.items()}
        losses = [value for name, value in metrics.items() if name.endswith("loss")]
        metrics[f"eval_{METRIC}"] = sum(losses) / len(losses)
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _measured(self, model: HeadsModel, batch: PackedBatch) -> Tensor:
        with torch.autocast(self.args.device.type, torch.bfloat16, enabled=self.args.bf16):
            loss: HeadsLoss = model(batch.to(self.args.device))
        return loss.by_head


def heads_batch(rows: Sequence[Mapping[str, Tensor]], heads: int) -> dict[str, Tensor]:
    """As `dataset.trainer_batch`, but the labels that the Trainer counts are those of the heads."""
    tensors = trainer_batch(rows)
    labels = head_labels(tensors["ids"], tensors["next"], tensors["target"], heads).flatten(0, 1)
    return {**tensors, "labels": labels, "shift_labels": labels}
