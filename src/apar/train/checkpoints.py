"""Which checkpoint a training goes on from, and whether it is of this training."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from apar.data.files import atomic_write
from apar.data.records import expand
from apar.errors import UserError
from apar.train.arguments import CHECKPOINTS
from apar.train.recipe import Recipe

TRAINING = "training.json"
RESULTS = ("model", "adapter", "heads")
"""Folders of an output that hold what was trained."""
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

    The learning rate may become lower (`_check_rate`): that is the mend where a loss is not a number.
    """
    settings = recipe.model_dump(mode="json", exclude={*_MAY_DIFFER, "trees"})
    del settings["optimizer"]["learning_rate"]
    return {**settings, "trees": content_hash(recipe.trees)}


def content_hash(paths: Iterable[Path]) -> str:
    """The SHA-256 of what files hold, whatever their names."""
    content = hashlib.sha256()
    for path in expand(paths):
        state = path.stat()
        content.update(_file_hash(path, state.st_mtime_ns, state.st_size))
    return content.hexdigest()


@lru_cache(maxsize=1024)
def _file_hash(path: Path, time: int, size: int) -> bytes:
    """Kept as long as the file is the same."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def held_out_sets(recipe: Recipe, before: Mapping[str, Any]) -> list[dict[str, Any]]:
    """By which answers held-out losses were measured since a training began, and are now; `before` said so of then."""
    found = list(before.get("held_out_sets", ()))
    now = _held_out_set(recipe)
    return [*found, now] if recipe.held_out and now not in found else found


def _held_out_set(recipe: Recipe) -> dict[str, Any]:
    return {"held_out": content_hash(recipe.held_out), "evaluate_samples": recipe.evaluate_samples}


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


def check_no_run(output: Path) -> None:
    """Raise UserError if a folder has a training that starting anew would throw away."""
    whole = [path for path in _checkpoints(output) if is_whole(path)]
    results = [name for name in RESULTS if (output / name).is_dir()]
    if not whole and not results:
        return
    held = [f"{path.name}" for path in whole[-1:]] + results
    raise UserError(
        f"{output} holds a training already ({', '.join(held)}): go on with it by --resume, begin anew by --restart, "
        "which removes its checkpoints, or name another output"
    )


def newest_step(output: Path) -> int | None:
    """The step of the newest whole checkpoint; None where there is none."""
    return max((_step(path) for path in _checkpoints(output) if is_whole(path)), default=None)


def _checkpoints(output: Path) -> list[Path]:
    return sorted((output / CHECKPOINTS).glob("checkpoint-*"), key=_step)


def start_over(output: Path) -> None:
    """Remove the checkpoints of an earlier training and what one that was killed left half-written."""
    shutil.rmtree(output / CHECKPOINTS, ignore_errors=True)
    remove_parts(output)


def remove_parts(output: Path) -> None:
    """Remove what a training that was killed left half-written; other files of the folder are not this trainer's."""
    for name in (TRAINING, "log.jsonl", *RESULTS, "samples-*", "tokenizer-*", "README.md"):
        for part in output.glob(f".{name}.*.part"):
            shutil.rmtree(part) if part.is_dir() else part.unlink()


def last_checkpoint(recipe: Recipe) -> Path:
    """The newest whole checkpoint; half-written ones are removed.

    Raises UserError where there is none, it is of a training with another fingerprint, or it has done more steps than
    the recipe wants.
    """
    found = _checkpoints(recipe.output)
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
        values = "; ".join(_then_and_now({k: saved.get(k) for k in differing}, {k: wanted.get(k) for k in differing}))
        raise UserError(
            f"{recipe.output} is of a training that differs in {names}; give the recipe and the data that it began "
            f"with, or another output folder without --resume ({values})"
        )
    _check_rate(recipe, before)
    _check_best(recipe, before)


def _then_and_now(then: Any, now: Any, key: str = "") -> Iterator[str]:
    """Each setting that differs, with both its values."""
    if isinstance(then, dict) and isinstance(now, dict):
        for name in sorted({*then, *now}):
            yield from _then_and_now(then.get(name), now.get(name), f"{key}.{name}" if key else name)
    elif then != now and key != "trees":
        yield f"{key} was {_shown(then)} and is {_shown(now)}"
    elif then != now:
        yield f"their hash was {str(then)[:12]} and is {str(now)[:12]}"


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:80]


def _check_rate(recipe: Recipe, before: Mapping[str, Any]) -> None:
    """Raise UserError if the learning rate is higher than it was; a lower one mends a loss that is no number."""
    then = before.get("recipe", {}).get("optimizer", {}).get("learning_rate")
    now = recipe.optimizer.learning_rate
    if then is not None and now > then:
        raise UserError(
            f"optimizer.learning_rate was {then} and is {now}: --resume goes on with the same rate or a lower one; "
            "give that, or another output folder without --resume"
        )


def _check_best(recipe: Recipe, before: dict[str, Any]) -> None:
    """Raise UserError if the best checkpoint so far was chosen by other held-out answers."""
    if not recipe.keep_best or not recipe.held_out:
        return
    now = _held_out_set(recipe)
    if "held_out_sets" in before:
        earlier = before["held_out_sets"]
    else:  # an older version, which wrote names alone
        said, then = recipe.model_dump(mode="json"), before.get("recipe", {})
        earlier = [{key: now[key] if then.get(key) == said[key] else None for key in now}]
    differing = sorted({key for each in earlier for key in now if each[key] != now[key]}, reverse=True)
    if differing:
        names = " and ".join("the content of held_out" if key == "held_out" else key for key in differing)
        raise UserError(
            f"keep_best compares losses on the same answers, and {names} changed since the training began; give what "
            "it began with, or set keep_best to false"
        )


def check_same_start(before: Mapping[str, Any], base: str, adapter: str | None) -> None:
    """Raise UserError if a training is to go on from another model than it began with; `before` is `training.json`."""
    for what, now in (("base", base), ("adapter", adapter)):
        then = before.get(what, now)
        if then != now:
            raise UserError(
                f"the {what} that the training began with was {str(then)[:12]}, and now it is {str(now)[:12]}; give "
                "the same one, or another output folder without --resume"
            )
