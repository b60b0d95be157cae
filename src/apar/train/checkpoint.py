"""Saving and resuming a training: a checkpoint is whole or not there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from apar.errors import RunError, UserError

FILE = "checkpoint.pt"


def save_checkpoint(folder: Path, step: int, model: Any, optimizers: list[torch.optim.Optimizer]) -> None:
    """Write `folder/checkpoint.pt` for a training that has done `step` steps, replacing the one before."""
    state = {
        "step": step,
        "model": model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
    }
    target, partial = folder / FILE, folder / f"{FILE}.partial"
    try:
        torch.save(state, partial)
        partial.replace(target)
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        raise RunError(f"cannot write the checkpoint {target}: {error}; the training can be resumed") from error


def load_checkpoint(folder: Path, model: Any, optimizers: list[torch.optim.Optimizer]) -> int:
    """Put the saved state into model and optimizers; return the number of steps done."""
    path = folder / FILE
    if not path.is_file():
        raise UserError(f"there is no checkpoint to resume in {folder}; start without --resume")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
    except (RuntimeError, ValueError, KeyError) as error:
        raise UserError(f"{path} does not fit this recipe: {str(error).splitlines()[0]}") from error
    return int(state["step"])


def replace_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a new folder, then put it in the place of `folder`: never a half-written one."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        write(partial)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(partial, folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise RunError(f"cannot write {folder}: {error}") from error
