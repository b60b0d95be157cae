"""Supervised fine-tuning with tree attention (APAR paper, section 3.2): the loop behind `apar train`.

    trees -> samples -> packs -> batches -> loss -> optimizers -> checkpoints -> OUTPUT/model

Everything that a training reports is one JSON line a step in `OUTPUT/log.jsonl`; `left_out` counts the examples drawn
so far that are longer than `max_length`.
"""

from __future__ import annotations

import itertools
import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TextIO

import torch

from apar.data.files import atomic_write
from apar.data.records import Example, first_question, read_examples
from apar.errors import RunError, UserError
from apar.models.device import choose_device
from apar.train.batches import Encoder, PackedBatch, TrainingBatches
from apar.train.checkpoint import FILE, Stateful, fingerprint, load_checkpoint, save_checkpoint
from apar.train.initial_model import InitialModel, prepare
from apar.train.losses import HeldOutLoss, held_out_loss, token_losses
from apar.train.optimizer import learning_rate, make_optimizers
from apar.train.recipe import Recipe
from apar.train.samples import IGNORE

OnStep = Callable[[dict[str, Any]], None]
"""Called with the log line of every step."""


@dataclass(slots=True)
class Training:
    """A training under way."""

    recipe: Recipe
    initial: InitialModel
    held_out: list[Example]
    encoder: Encoder
    batches: TrainingBatches
    optimizers: list[torch.optim.Optimizer]
    device: torch.device
    step: int = 0

    @property
    def parts(self) -> dict[str, Stateful]:
        """What a checkpoint keeps."""
        optimizers = {f"optimizer_{number}": optimizer for number, optimizer in enumerate(self.optimizers)}
        return {"model": self.initial.model, "batches": self.batches, **optimizers}


def train(recipe: Recipe, *, resume: bool = False, report: OnStep = lambda line: None) -> Path:
    """Train by the recipe; return the folder of the model, which `AutoModelForCausalLM` loads.

    With `resume`, go on from the last checkpoint: the weights become those of a training that was not interrupted.
    More `steps` than it began with go on with the rate that the recipe now has at each step.
    Raises UserError where the recipe does not fit the data, the model or the checkpoint, RunError where the loss is no
    number or the disk is full.
    """
    run = _set_up(recipe)
    mark = fingerprint(recipe)
    if resume:
        run.step = load_checkpoint(recipe.output, run.parts, mark)
        if run.step > recipe.steps:
            raise UserError(f"{recipe.output / FILE} has done {run.step} steps, more than steps = {recipe.steps}")
    _start_output(run)
    with (recipe.output / "log.jsonl").open("a" if resume else "w", encoding="utf-8") as log:
        for batch in itertools.islice(run.batches, recipe.steps - run.step):
            line = _step(run, batch) | {"left_out": run.batches.left_out}
            if run.step % recipe.evaluate_every == 0 or run.step == recipe.steps:
                line |= {"held_out": asdict(loss)} if (loss := _evaluate(run)) else {}
            if run.step % recipe.checkpoint_every == 0 or run.step == recipe.steps:
                save_checkpoint(recipe.output, run.step, run.parts, mark)
            _log(log, line)
            report(line)
    run.initial.save(recipe.output / "model")
    return recipe.output / "model"


def _set_up(recipe: Recipe) -> Training:
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    examples, held_out = read_examples(recipe.trees), read_examples(recipe.held_out)
    _check_examples(recipe, examples, held_out)
    initial = prepare(recipe, examples)
    device = choose_device(recipe.device)
    initial.model.to(device).train()
    initial.model.set_attn_implementation(recipe.attention)
    encoder = Encoder(
        initial.tokenizer,
        forked=recipe.mode == "forked",
        max_length=recipe.max_length,
        loss_on_prompt=recipe.loss_on_prompt,
    )
    batches = TrainingBatches(examples, encoder, recipe)
    optimizers = make_optimizers(initial.model, recipe.optimizer)
    return Training(recipe, initial, held_out, encoder, batches, optimizers, device)


def _check_examples(recipe: Recipe, examples: list[Example], held_out: list[Example]) -> None:
    names = ", ".join(map(str, recipe.trees))
    if not examples:
        raise UserError(f"{names} has no answers; report.json beside it says what `apar extract` left out, and why")
    trained = {first_question(example.messages) for example in examples}
    both = sum(first_question(example.messages) in trained for example in held_out)
    if both:
        raise UserError(
            f"{both} answers of held_out are to prompts that {names} has too; take both files of one `apar extract`"
        )


def _start_output(run: Training) -> None:
    """Describe the training in `training.json`; remove what a killed one left half-written."""
    recipe = run.recipe
    summary = {
        "recipe": recipe.model_dump(mode="json"),
        "parameters": sum(p.numel() for p in run.initial.model.parameters()),
        "examples": len(run.batches.examples),
        "structured": sum(example.structured for example in run.batches.examples),
        "held_out_examples": len(run.held_out),
    }
    with atomic_write(recipe.output / "training.json") as file:
        json.dump(summary, file, indent=1, ensure_ascii=False)
    for name in ("training.json", FILE, "model"):  # other files of the folder are not this trainer's
        for part in recipe.output.glob(f".{name}.*.part"):
            shutil.rmtree(part) if part.is_dir() else part.unlink()


def _step(run: Training, batch: PackedBatch) -> dict[str, Any]:
    """One optimizer step over a batch, in micro-batches; the loss is the mean over all labels of the batch."""
    recipe, model = run.recipe, run.initial.model
    began = time.perf_counter()
    # By step, so that a resumed training has the same dropout, if its model has any.
    torch.manual_seed(recipe.seed + run.step)
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


def _micro_batches(batch: PackedBatch, recipe: Recipe) -> Iterator[PackedBatch]:
    rows = _rows(recipe)
    for first in range(0, batch.ids.shape[0], rows):
        yield PackedBatch(*(getattr(batch, item.name)[first : first + rows] for item in fields(batch)))


def _evaluate(run: Training) -> HeldOutLoss | None:
    """The held-out loss on the first examples held out; None where there are none."""
    if not run.held_out:
        return None
    chosen = run.held_out[: run.recipe.evaluate_samples]
    precision = torch.bfloat16 if run.recipe.precision == "bfloat16" else torch.float32
    run.initial.model.eval()
    loss = held_out_loss(run.initial.model, run.encoder.fixed_batches(chosen, _rows(run.recipe)), precision)
    run.initial.model.train()
    return loss


def _log(log: TextIO, line: dict[str, Any]) -> None:
    log.write(json.dumps(line) + "\n")
    log.flush()
