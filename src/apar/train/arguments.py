"""The recipe as Transformers' `TrainingArguments`."""

from __future__ import annotations

import importlib.util
import math
from typing import Any

import torch

from apar.errors import ConfigError
from apar.train.recipe import Optimizer, Recipe

CHECKPOINTS = "checkpoints"
METRIC = "held_out"


def training_arguments(recipe: Recipe, device: torch.device, precision: torch.dtype) -> Any:
    """Raises ConfigError where a value is not one of Transformers'."""
    from transformers import TrainingArguments

    try:
        return TrainingArguments(
            output_dir=str(recipe.output / CHECKPOINTS),
            max_steps=recipe.steps,
            per_device_train_batch_size=recipe.packs_per_pass,
            # Of packs that are planned in order, for this many steps: one round, never shuffled.
            train_sampling_strategy="sequential",
            dataloader_drop_last=True,
            remove_unused_columns=False,
            include_num_input_tokens_seen="no",
            seed=recipe.seed,
            data_seed=recipe.seed,
            bf16=precision == torch.bfloat16,
            use_cpu=device.type == "cpu",
            ddp_find_unused_parameters=False,
            gradient_checkpointing=recipe.gradient_checkpointing,
            gradient_checkpointing_kwargs={"use_reentrant": False} if recipe.gradient_checkpointing else None,
            **_rates(recipe.optimizer, recipe.steps),
            **_saving(recipe),
            logging_steps=1,
            logging_nan_inf_filter=False,
            disable_tqdm=True,
            report_to=_reports(recipe.report_to),
            log_level="error",
        )
    except (ValueError, TypeError, ImportError) as error:
        raise ConfigError(f"Transformers refuses the recipe: {' '.join(str(error).split())}") from error


def accumulation(recipe: Recipe, processes: int) -> int:
    """Forward passes of each process in an optimizer step. Raises ConfigError where they do not come out even."""
    each = recipe.packs_per_pass * processes
    if recipe.packs_per_step % each:
        raise ConfigError(
            f"a step of {recipe.packs_per_step} packs (batch_tokens // max_length) cannot be split into passes of "
            f"{recipe.packs_per_pass} packs (micro_batch_tokens // max_length) on {processes} processes; change one"
        )
    return recipe.packs_per_step // each


def _rates(optimizer: Optimizer, steps: int) -> dict[str, Any]:
    cosine = optimizer.schedule == "cosine"
    decay = {"min_lr_rate": optimizer.final}
    stable = {"num_decay_steps": max(1, round(optimizer.decay * steps)), "min_lr_ratio": optimizer.final}
    return {
        "optim": optimizer.name,
        "learning_rate": optimizer.learning_rate,
        "lr_scheduler_type": "cosine_with_min_lr" if cosine else "warmup_stable_decay",
        "lr_scheduler_kwargs": decay if cosine else stable,
        "warmup_steps": math.ceil(optimizer.warmup * steps),
        "adam_beta1": optimizer.betas[0],
        "adam_beta2": optimizer.betas[1],
        "weight_decay": optimizer.weight_decay,
        "max_grad_norm": optimizer.clip_norm,
    }


def _saving(recipe: Recipe) -> dict[str, Any]:
    """When held-out answers are measured, and which checkpoints are kept."""
    measured = bool(recipe.held_out)
    best = {"metric_for_best_model": METRIC, "greater_is_better": False}
    return {
        "save_strategy": "steps",
        "save_steps": recipe.checkpoint_every,
        "save_total_limit": recipe.keep_checkpoints,
        "eval_strategy": "steps" if measured else "no",
        "eval_steps": recipe.evaluate_every,
        **(best if measured else {}),
        # How often the loss did not fall: a training that goes on ends where it would have ended.
        "restore_callback_states_from_checkpoint": recipe.stop_after is not None,
        "load_best_model_at_end": measured and recipe.keep_best,
    }


def _reports(names: tuple[str, ...]) -> list[str]:
    """TensorBoard only where it is installed: it is asked for by default."""
    has_tensorboard = any(map(importlib.util.find_spec, ("tensorboard", "tensorboardX")))
    return [name for name in names if name != "tensorboard" or has_tensorboard] or ["none"]
