"""Supervised fine-tuning with tree attention (APAR paper, section 3.2): the loop behind `apar train`.

    chosen records -> samples -> packs -> batches -> loss -> optimizers -> checkpoints -> OUTPUT/model

Everything that a run tells is one JSON line a step in `OUTPUT/log.jsonl`.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import torch

from apar.data.mix import Selection, read_all, select
from apar.errors import RunError, UserError
from apar.models.device import choose_device
from apar.train.batches import Batch, Encoder, batches
from apar.train.checkpoint import load_checkpoint, replace_folder, save_checkpoint
from apar.train.initial_model import Start, prepare
from apar.train.losses import HeldOutLoss, held_out_loss, token_losses
from apar.train.optimizer import learning_rate, make_optimizers
from apar.train.recipe import Recipe
from apar.train.samples import IGNORE

Report = Callable[[dict[str, Any]], None]
"""Called with the log line of every step."""


@dataclass(slots=True)
class Run:
    """A training under way."""

    recipe: Recipe
    start: Start
    selection: Selection
    encoder: Encoder
    optimizers: list[torch.optim.Optimizer]
    device: torch.device
    step: int = 0


def train(recipe: Recipe, *, resume: bool = False, report: Report = lambda line: None) -> Path:
    """Train by the recipe; return the folder of the model, which `AutoModelForCausalLM` loads.

    Raises UserError where the recipe does not fit the data or the model, RunError where the loss is no number.
    """
    run = _set_up(recipe, resume=resume)
    model_folder = recipe.output / "model"
    with (recipe.output / "log.jsonl").open("a" if resume else "w", encoding="utf-8") as log:
        stream = itertools.islice(batches(run.selection.train, run.encoder, recipe), run.step, recipe.steps)
        for batch in stream:
            line = _step(run, batch)
            if run.step % recipe.evaluate_every == 0 or run.step == recipe.steps:
                line |= {"held_out": asdict(loss)} if (loss := _evaluate(run)) else {}
            if run.step % recipe.checkpoint_every == 0 or run.step == recipe.steps:
                save_checkpoint(recipe.output, run.step, run.start.model, run.optimizers)
            _log(log, line)
            report(line)
    replace_folder(model_folder, run.start.save)
    return model_folder


def _set_up(recipe: Recipe, *, resume: bool) -> Run:
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    recipe.output.mkdir(parents=True, exist_ok=True)
    selection = select(read_all(recipe.trees), recipe.mix)
    if not selection.train:
        raise UserError(
            f"no record of {', '.join(map(str, recipe.trees))} passes the mix; left out: {dict(selection.left_out)}"
        )
    start = prepare(recipe, selection.train)
    device = choose_device(recipe.device)
    start.model.to(device).train()
    start.model.set_attn_implementation(recipe.attention)
    encoder = Encoder(
        start.tokenizer,
        forked=recipe.mode == "forked",
        max_length=recipe.max_length,
        loss_on_prompt=recipe.loss_on_prompt,
    )
    run = Run(recipe, start, selection, encoder, make_optimizers(start.model, recipe.optimizer), device)
    if resume:
        run.step = load_checkpoint(recipe.output, start.model, run.optimizers)
    summary = {
        "recipe": recipe.model_dump(mode="json"),
        "parameters": sum(p.numel() for p in start.model.parameters()),
        "examples": len(selection.train),
        "structured": sum(example.structured for example in selection.train),
        "held_out_examples": len(selection.held_out),
        "left_out": dict(selection.left_out),
    }
    (recipe.output / "training.json").write_text(json.dumps(summary, indent=1, ensure_ascii=False), encoding="utf-8")
    return run


def _step(run: Run, batch: Batch) -> dict[str, Any]:
    """One optimizer step over a batch, in micro-batches; the loss is the mean over all labels of the batch."""
    recipe, model = run.recipe, run.start.model
    began = time.perf_counter()
    rate = learning_rate(run.step, recipe.steps, recipe.optimizer)
    labels = int((batch.labels != IGNORE).sum())
    total = 0.0
    for part in _micro_batches(batch, recipe):
        with torch.autocast(run.device.type, dtype=torch.bfloat16, enabled=recipe.precision == "bfloat16"):
            loss = token_losses(model, part.to(run.device)).sum() / labels
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.item()
    if total != total:
        raise RunError(
            f"the loss is not a number at step {run.step + 1}; lower optimizer.learning_rate and use --resume"
        )
    torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.optimizer.clip_norm)
    for optimizer in run.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    run.step += 1
    seconds = time.perf_counter() - began
    return {"step": run.step, "loss": total, "rate": rate, "tokens": batch.ids.numel(), "seconds": seconds}


def _rows(recipe: Recipe) -> int:
    """Packs in one forward pass."""
    return max(1, (recipe.micro_batch_tokens or recipe.batch_tokens) // recipe.max_length)


def _micro_batches(batch: Batch, recipe: Recipe) -> Iterator[Batch]:
    rows = _rows(recipe)
    for first in range(0, batch.ids.shape[0], rows):
        yield Batch(
            batch.ids[first : first + rows],
            batch.positions[first : first + rows],
            batch.labels[first : first + rows],
            batch.subtree_end[first : first + rows],
            batch.is_text[first : first + rows],
        )


def _evaluate(run: Run) -> HeldOutLoss | None:
    """The held-out loss on the first examples held out; None where the mix holds none out."""
    if not run.selection.held_out:
        return None
    chosen = run.selection.held_out[: run.recipe.evaluate_samples]
    precision = torch.bfloat16 if run.recipe.precision == "bfloat16" else torch.float32
    run.start.model.eval()
    loss = held_out_loss(run.start.model, run.encoder.fixed_batches(chosen, _rows(run.recipe)), precision)
    run.start.model.train()
    return loss


def _log(log: TextIO, line: dict[str, Any]) -> None:
    log.write(json.dumps(line) + "\n")
    log.flush()
