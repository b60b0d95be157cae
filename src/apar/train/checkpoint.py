"""Saving and resuming a training: a checkpoint is whole or not there, and belongs to one training alone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from apar.data.files import atomic_path
from apar.data.records import expand
from apar.errors import RunError, UserError
from apar.train.recipe import Recipe

FILE = "checkpoint.pt"
# How long a training goes on, where it is written, what is measured of it, and how its arithmetic is carried out.
_MAY_DIFFER = {
    "steps",
    *("output", "held_out", "evaluate_every", "evaluate_samples", "checkpoint_every"),
    *("device", "threads", "attention", "micro_batch_tokens"),
}


class Stateful(Protocol):
    """A part of a training that a checkpoint keeps: the model, an optimizer, the order of the data."""

    def state_dict(self) -> Any: ...
    def load_state_dict(self, state: Any, /) -> Any: ...


def fingerprint(recipe: Recipe) -> dict[str, Any]:
    """What decides the weights: the content of the trees files, and the recipe but for `_MAY_DIFFER`.

    The learning rate may differ too: to lower it is the mend where a loss is not a number.
    """
    content = hashlib.sha256()
    for path in expand(recipe.trees):
        with path.open("rb") as file:
            content.update(hashlib.file_digest(file, "sha256").digest())
    settings = recipe.model_dump(mode="json", exclude={*_MAY_DIFFER, "trees"})
    del settings["optimizer"]["learning_rate"]
    return {**settings, "trees": content.hexdigest()}


def save_checkpoint(folder: Path, step: int, parts: Mapping[str, Stateful], training: dict[str, Any]) -> None:
    """Write `folder/checkpoint.pt` for a training that has done `step` steps, in the place of the one before.

    `training` is the training's fingerprint. Raises RunError where it cannot be written; the one before stays.
    """
    state = {"step": step, "training": training, **{name: part.state_dict() for name, part in parts.items()}}
    try:
        with atomic_path(folder / FILE) as temporary:
            torch.save(state, temporary)
    except RuntimeError as error:  # what torch makes of a full disk
        reason = str(error).splitlines()[0]
        raise RunError(f"cannot write {folder / FILE}: {reason}; the one before stays, go on with --resume") from error


def load_checkpoint(folder: Path, parts: Mapping[str, Stateful], training: dict[str, Any]) -> int:
    """Put the saved state into the parts; return the number of steps done.

    Raises UserError where there is no checkpoint, or it is of a training with another fingerprint.
    """
    path = folder / FILE
    if not path.is_file():
        raise UserError(f"there is no checkpoint to resume in {folder}; start without --resume")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        _check_training(path, state.get("training"), training)
        for name, part in parts.items():
            part.load_state_dict(state[name])
    except (RuntimeError, ValueError, KeyError) as error:
        raise UserError(f"{path} does not fit this recipe: {str(error).splitlines()[0]}") from error
    return int(state["step"])


def _check_training(path: Path, saved: dict[str, Any] | None, training: dict[str, Any]) -> None:
    if saved is None:
        raise UserError(f"{path} was written by an older version, which kept no place in the data; start again")
    differing = sorted(key for key in {*saved, *training} if saved.get(key) != training.get(key))
    if differing:
        names = ", ".join("the content of trees" if key == "trees" else key for key in differing)
        raise UserError(
            f"{path} is of a training that differs in {names}; give the recipe and the data that it began with, or "
            "another output folder without --resume"
        )
