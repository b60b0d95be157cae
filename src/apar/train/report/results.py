"""What a training leaves: the adapter or model, its card, and a picture of its losses."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from apar.data.files import atomic_folder, atomic_path
from apar.errors import RunError
from apar.models.adapter_files import save_adapter
from apar.models.head_files import HeadsInfo, save_heads
from apar.models.side_file import BaseModel
from apar.tokens import CHILD, FORK
from apar.train.callbacks import LOG
from apar.train.initial_model import InitialModel
from apar.train.recipe import Recipe
from apar.train.report.card import model_card


@dataclass(frozen=True, slots=True)
class Outcome:
    """A training that has ended."""

    recipe: Recipe
    initial: InitialModel
    base: str
    """The base's fingerprint."""
    adapter: str | None
    """The fingerprint of the adapter that was merged into it."""
    trainer: Any
    data: dict[str, Any]


def write_results(done: Outcome) -> Path:
    """Write OUTPUT/adapter, heads or model, with `merge` the model too, and OUTPUT/loss.png; return the first.

    Each folder is whole or as it was before. Raises RunError where one cannot be written.
    """
    recipe, trainer = done.recipe, done.trainer
    state = trainer.accelerator.get_state_dict(trainer.model_wrapped) if _is_sharded(trainer) else None
    name = "heads" if recipe.kind == "heads" else "model" if recipe.lora is None else "adapter"
    if not trainer.is_world_process_zero():
        return recipe.output / name
    best = trainer.state.best_global_step if recipe.keep_best else None
    card = model_card(recipe, _losses(recipe.output, best or trainer.state.global_step), done.data)
    written = {"heads": _write_heads, "model": _write_model, "adapter": _write_adapter}[name](done, card, state)
    if recipe.lora is not None and recipe.merge and not _is_sharded(trainer):
        merged = trainer.model.merge_and_unload(safe_merge=True)
        _write_model(done, card, None, merged)
    _plot(recipe.output)
    return written


def _is_sharded(trainer: Any) -> bool:
    return bool(trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled)


def _write_adapter(done: Outcome, card: str, state: dict[str, Any] | None) -> Path:
    recipe, folder = done.recipe, done.recipe.output / "adapter"
    names = (FORK, CHILD) if recipe.mode == "forked" else ()
    ids = {name: int(done.initial.tokenizer.convert_tokens_to_ids(name)) for name in names}
    save_adapter(done.trainer.model, folder, str(recipe.start.model), done.base, ids, state, card)
    return folder


def _write_heads(done: Outcome, card: str, state: dict[str, Any] | None) -> Path:
    """The heads without the output layer that they share."""
    folder = done.recipe.output / "heads"
    info = HeadsInfo(BaseModel(str(done.recipe.start.model), done.base), done.adapter)
    with atomic_folder(folder) as temporary:
        save_heads(done.trainer.model.heads, temporary / "heads", info=info)
        for file in (temporary / "heads").iterdir():
            file.rename(temporary / file.name)
        (temporary / "heads").rmdir()
        (temporary / "README.md").write_text(card, encoding="utf-8")
    return folder


def _write_model(done: Outcome, card: str, state: dict[str, Any] | None, model: Any = None) -> Path:
    """The whole model as Hugging Face files, in bfloat16, which halves them."""
    from safetensors import SafetensorError

    model, folder = model or done.trainer.model, done.recipe.output / "model"
    weights = {name: weight.to(torch.bfloat16) for name, weight in (state or model.state_dict()).items()}
    try:
        with atomic_folder(folder) as temporary:
            model.config.dtype = torch.bfloat16
            model.save_pretrained(temporary, state_dict=weights)
            done.initial.tokenizer.save_pretrained(temporary)
            (temporary / "README.md").write_text(card, encoding="utf-8")
    except SafetensorError as error:
        raise RunError(f"cannot write {folder}: {error}; go on with --resume") from error
    return folder


def _lines(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / LOG).read_text(encoding="utf-8").splitlines()]


def _losses(output: Path, step: int) -> dict[str, float]:
    """The held-out losses at a step; empty where nothing was held out."""
    measured = [line["held_out"] for line in _lines(output) if "held_out" in line and line["step"] == step]
    return dict(measured[-1]) if measured else {}


def _plot(output: Path) -> None:
    """Draw the losses over the steps to OUTPUT/loss.png, where matplotlib is installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    lines = _lines(output)
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    trained = [line for line in lines if "loss" in line]
    axes.plot([line["step"] for line in trained], [line["loss"] for line in trained], lw=0.8, label="training")
    measured = [line for line in lines if "held_out" in line]
    for name in measured[0]["held_out"] if measured else ():
        values = [line["held_out"][name] for line in measured]
        axes.plot([line["step"] for line in measured], values, marker=".", label=name.replace("_", " "))
    axes.set(xlabel="step", ylabel="loss (nats a token)")
    axes.legend()
    with atomic_path(output / "loss.png") as file:
        figure.savefig(file, format="png", dpi=120)
