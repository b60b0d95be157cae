"""Transformers' Trainer with tree attention: the loss, the held-out loss, and the rates of the control rows."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import Trainer

from apar.errors import RunError
from apar.train.arguments import METRIC
from apar.train.batches import PackedBatch
from apar.train.lora import CONTROL_ROWS
from apar.train.losses import HeldOutLoss, loss_sums, token_losses
from apar.train.shares import summed

HeldOut = Mapping[str, Sequence[PackedBatch]]
"""Batches of held-out answers by kind: `structured`, `unstructured`."""


class TreeTrainer(Trainer):
    """Trains on batches of `dataset.trainer_batch`; the loss is the mean over all labels of an optimizer step."""

    def __init__(self, *args: Any, held_out: HeldOut, control_rate: float, **kwargs: Any) -> None:
        # The Trainer wants to see that there is something to evaluate; `evaluate` below does it.
        super().__init__(*args, **{**kwargs, "eval_dataset": dict(held_out)})
        self.held_out = held_out
        self.control_rate = control_rate
        self._peaks: list[float] = []
        # Both make the Trainer count the labels of a whole step, on all devices, and leave the scaling to us.
        self.model_accepts_loss_kwargs = True
        self.loss_is_scaled_for_ga = True

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The sum over the labels of this pass, over the number of labels of the step on all devices."""
        loss = self.summed_loss(model, PackedBatch.of(inputs)) / num_items_in_batch
        # What several devices compute is averaged.
        loss = loss * self.accelerator.num_processes
        return (loss, {}) if return_outputs else loss

    def summed_loss(self, model: Any, batch: PackedBatch) -> Tensor:
        """The loss of all labels of a batch."""
        return token_losses(model, batch).sum()

    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
        """As the Trainer's. Raises RunError if the loss is no number, before any weight is changed by it."""
        loss: Tensor = super().training_step(*args, **kwargs)
        if not torch.isfinite(loss):
            raise RunError(self._no_number("loss"))
        return loss

    def _clip_grad_norm(self, model: Any) -> Any:
        """As the Trainer's. Raises RunError if a gradient is no number, before any weight is changed by it."""
        norm = super()._clip_grad_norm(model)  # type: ignore[no-untyped-call]
        if norm is not None and not math.isfinite(float(norm)):
            raise RunError(self._no_number("gradient"))
        return norm

    def _no_number(self, what: str) -> str:
        step = self.state.global_step + 1
        return f"the {what} is not a number at step {step}; lower optimizer.learning_rate and use --resume"

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """The held-out losses, in nats a token, by kind of answer and of token; `eval_held_out` is that of all."""
        assert self.model is not None
        self.model.eval()
        precision = torch.bfloat16 if self.args.bf16 else torch.float32
        measure = functools.partial(loss_sums, self.model, precision=precision)
        sums = {kind: summed(batches, measure, self.accelerator) for kind, batches in self.held_out.items()}
        found = {kind: HeldOutLoss.of(each) for kind, each in sums.items()}
        metrics = {f"eval_{kind}_{part}": getattr(loss, part) for kind, loss in found.items() for part in _PARTS}
        metrics[f"eval_{METRIC}"] = _mean(list(found.values()))
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """As the Trainer's, but the rates become those that the recipe has now, not those of the checkpoint."""
        super()._load_optimizer_and_scheduler(checkpoint)
        optimizer: Any = self.optimizer
        scheduler: Any = self.lr_scheduler
        if checkpoint is None or len(getattr(scheduler, "lr_lambdas", ())) != len(self._peaks):
            return  # DeepSpeed has a schedule of its own
        scheduler.base_lrs = list(self._peaks)
        for group, peak, factor in zip(optimizer.param_groups, self._peaks, scheduler.lr_lambdas, strict=True):
            group["initial_lr"], group["lr"] = peak, peak * factor(scheduler.last_epoch)
        scheduler._last_lr = [group["lr"] for group in optimizer.param_groups]

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """As the Trainer's, but for the control tokens' rows, which have a rate of their own and no weight decay."""
        if self.optimizer is not None:
            return self.optimizer
        optimizer = super().create_optimizer(model)
        trained: Any = model or self.model
        rows = {id(p) for name, p in trained.named_parameters() if CONTROL_ROWS in name}
        taken = [p for group in optimizer.param_groups for p in group["params"] if id(p) in rows]
        if taken:
            for group in optimizer.param_groups:
                group["params"] = [p for p in group["params"] if id(p) not in rows]
            rate = self.args.learning_rate * self.control_rate
            optimizer.add_param_group({"params": taken, "weight_decay": 0.0, "lr": rate})
        self._peaks = [float(group["lr"]) for group in optimizer.param_groups]
        return optimizer


_PARTS = ("text", "control")


def _mean(losses: Sequence[HeldOutLoss]) -> float:
    """Over all tokens of all kinds."""
    tokens = [loss.text_tokens + loss.control_tokens for loss in losses]
    return sum(loss.all * count for loss, count in zip(losses, tokens, strict=True)) / max(1, sum(tokens))
