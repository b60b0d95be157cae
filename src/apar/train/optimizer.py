"""Optimizers and the learning rate schedule."""

from __future__ import annotations

import math
from typing import Any

import torch

from apar.train.recipe import Optimizer


def make_optimizers(model: Any, recipe: Optimizer) -> list[torch.optim.Optimizer]:
    """AdamW for everything, or Muon for the layers' matrices and AdamW for embeddings, norms and the head.

    Muon's steps are scaled to the size of AdamW's (`match_rms_adamw`), so one learning rate serves both.
    """
    parameters = {id(p): p for p in model.parameters() if p.requires_grad}
    decay = recipe.weight_decay
    if recipe.name == "adamw":
        return [_adamw(list(parameters.values()), recipe)]
    tables = {
        id(layer.weight) for layer in (model.get_input_embeddings(), model.get_output_embeddings()) if layer is not None
    }
    matrices = [p for key, p in parameters.items() if p.ndim == 2 and key not in tables]
    chosen = {id(p) for p in matrices}
    rest = [p for key, p in parameters.items() if key not in chosen]
    muon = torch.optim.Muon(matrices, lr=recipe.learning_rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw")
    return [muon, _adamw(rest, recipe)]


def _adamw(parameters: list[torch.nn.Parameter], recipe: Optimizer) -> torch.optim.AdamW:
    return torch.optim.AdamW(parameters, lr=recipe.learning_rate, betas=(0.9, 0.95), weight_decay=recipe.weight_decay)


def learning_rate(step: int, steps: int, recipe: Optimizer) -> float:
    """The rate of `step` (from 0) of `steps`: linear warm-up, then a cosine down to `final` times the peak."""
    warmup = max(1, round(recipe.warmup * steps))
    if step < warmup:
        return recipe.learning_rate * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return recipe.learning_rate * (recipe.final + (1 - recipe.final) * (1 + math.cos(math.pi * progress)) / 2)
