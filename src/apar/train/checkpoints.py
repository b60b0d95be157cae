"""Which checkpoint a training goes on from, and whether it is of this training."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from apar.data.files import atomic_write
from apar.data.records import expand
from apar.errors import UserError
from apar.train.arguments import CHECKPOINTS
from apar.train.recipe import Recipe

TRAINING = "training.json"
_LAST_WRITTEN = "trainer_state.json"
# How long a training goes on, where it is written, what is measured of it, and how its arithmetic is carried out.
_MAY_DIFFER = {
    *("steps", "stop_after", "output", "merge"),
    *("held_out", "evaluate_every", "evaluate_samples", "sample_answers", "checkpoint_every", "keep_checkpoints"),
    *("keep_best", "report_to", "device", "threads", "attention", "compile", "gradient_checkpointing"),
    "micro_batch_tokens",
}


def fingerprint(recipe: Recipe) -> dict[str, Any]:
    """What decides the weights: the content of the trees files, and the recipe but for `_MAY_DIFFER`.

    The learning rate may differ too: to lower it is the mend where a loss is not a number.
    """
    settings = recipe.model_dump(mode="json", exclude={*_MAY_DIFFER, "trees"})
    del settings["optimizer"]["learning_rate"]
    return {**settings, "trees": content_hash(recipe)}


def content_hash(recipe: Recipe) -> str:
    """The SHA-256 of the trees files."""
    content = hashlib.sha256()
    for path in expand(recipe.trees):
        with path.open("rb") as file:
            content.update(hashlib.file_digest(file, "sha256").digest())
    return content.hexdigest()


def write_training(output: Path, summary: dict[str, Any]) -> None:
    """Describe the training in `training.json`."""
    with atomic_write(output / TRAINING) as file:
        json.dump(summary, file, indent=1, ensure_ascii=False)


def read_training(output: Path) -> dict[str, Any]:
    """What `training.json` says; empty where there is none that can be read."""
    try:
        found = json.loads((output / TRAINING).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def start_over(output: Path) -> None:
    """Remove the checkpoints of an earlier training and what one that was killed left half-written."""
    shutil.rmtree(output / CHECKPOINTS, ignore_errors=True)
    remove_parts(output)


def remove_parts(output: Path) -> None:
    """Remove what a training that was killed left half-written; other files of the folder are not this trainer's."""
    for name in (TRAINING, "log.jsonl", "model", "adapter", "samples-*", "README.md"):
        for part in output.glob(f".{name}.*.part"):
            shutil.rmtree(part) if part.is_dir() else part.unlink()


def last_checkpoint(recipe: Recipe) -> Path:
    """The newest whole checkpoint; half-written ones are removed.

    Raises UserError where there is none, it is of a training with another fingerprint, or it has done more steps than
    the recipe wants.
    """
    folder = recipe.output / CHECKPOINTS
    found = sorted(folder.glob("checkpoint-*"), key=_step)
    whole = [path for path in found if is_whole(path)]
    if not whole:
        raise UserError(f"there is no checkpoint to resume in {recipe.output}; start without --resume")
    _check_training(recipe)
    newest = whole[-1]
    if _step(newest) > recipe.steps:
        raise UserError(f"{newest} has done {_step(newest)} steps, more than steps = {recipe.steps}")
    for path in found:
        if path not in whole:
            shutil.rmtree(path, ignore_errors=True)  # another process may be at it
    return newest


def is_whole(checkpoint: Path) -> bool:
    """Whether a checkpoint was written to its end: the Trainer writes its own state last."""
    try:
        json.loads((checkpoint / _LAST_WRITTEN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def _check_training(recipe: Recipe) -> None:
    before = read_training(recipe.output)
    saved = before.get("fingerprint")
    if saved is None:
        path = recipe.output / TRAINING
        raise UserError(f"{path} does not say of which training the checkpoints are; start again")
    wanted = fingerprint(recipe)
    differing = sorted(key for key in {*saved, *wanted} if saved.get(key) != wanted.get(key))
    if differing:
        names = ", ".join("the content of trees" if key == "trees" else key for key in differing)
        raise UserError(
            f"{recipe.output} is of a training that differs in {names}; give the recipe and the data that it began "
            "with, or another output folder without --resume"
        )
    _check_best(recipe, before.get("recipe", {}))


def _check_best(recipe: Recipe, before: dict[str, Any]) -> None:
    """Raise UserError if the best checkpoint so far was chosen by other held-out answers."""
    said = recipe.model_dump(mode="json")
    differing = [key for key in ("held_out", "evaluate_samples") if before.get(key) != said[key]]
    if recipe.keep_best and recipe.held_out and differing:
        raise UserError(
            f"keep_best compares losses on the same answers, and {' and '.join(differing)} changed since the training "
            "began; give what it began with, or set keep_best to false"
        )
