"""Fine-tuning with tree attention (APAR paper, section 3.2), behind `apar train`.

    trees -> samples -> packs -> TreeTrainer -> checkpoints -> OUTPUT/adapter or OUTPUT/model

Everything that a training reports is one JSON line a step in `OUTPUT/log.jsonl`.
"""

from __future__ import annotations

import errno
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from apar.data.records import Example, read_examples
from apar.errors import RunError, UserError
from apar.models.device import choose_device
from apar.models.fingerprint import base_fingerprint
from apar.train.answers import Answers
from apar.train.arguments import accumulation, training_arguments
from apar.train.batches import Encoder, PackedBatch
from apar.train.callbacks import OnStep, SampleAnswers, StepLog
from apar.train.checkpoints import (
    check_no_run,
    check_same_start,
    fingerprint,
    held_out_sets,
    last_checkpoint,
    read_training,
    remove_parts,
    start_over,
    write_training,
)
from apar.train.dataset import PackedDataset, SampleStore, token_counts, trainer_batch
from apar.train.heads_trainer import HeadsModel, HeadsTrainer, heads_batch
from apar.train.initial_model import InitialModel, merged_adapter, prepare
from apar.train.lora import add_adapter
from apar.train.mask import check_attention
from apar.train.precision import choose_attention, choose_compile, choose_precision
from apar.train.recipe import Recipe
from apar.train.report.answers import show_answers
from apar.train.report.results import Outcome, write_results
from apar.train.trainer import TreeTrainer


@dataclass(slots=True)
class Training:
    """A training that is ready to start."""

    recipe: Recipe
    precision: torch.dtype
    initial: InitialModel
    base: str
    """The base's fingerprint."""
    adapter: str | None
    """The fingerprint of the adapter that was merged into it."""
    model: Any
    """What is trained: the initial model, or PEFT's around it."""
    encoder: Encoder
    store: SampleStore
    packs: PackedDataset
    held_out: list[Example]
    refused: list[str]
    """The ids of the answers, those of `held_out` included, that the chat template refuses: they are left out."""
    arguments: Any


def train(recipe: Recipe, *, resume: bool = False, restart: bool = False, report: OnStep = lambda line: None) -> Path:
    """Train by the recipe; return the folder of the result: OUTPUT/adapter, OUTPUT/heads or OUTPUT/model.

    With `resume`, go on from the last whole checkpoint: the weights become those of a training that was not
    interrupted. More `steps` than it began with go on with the rate that the recipe now has at each step. Without
    it, a folder that holds a training is refused, unless `restart` says to throw its checkpoints away.
    Raises UserError where the recipe does not fit the data, the model or the checkpoint, RunError where the loss is no
    number or the disk is full.
    """
    if not (resume or restart):
        check_no_run(recipe.output)
    checkpoint = last_checkpoint(recipe) if resume else None
    training = set_up(recipe, resume=resume)
    before = {} if checkpoint is None else read_training(recipe.output)
    done = 0 if checkpoint is None else int(checkpoint.name.split("-")[-1])
    check_same_start(before, training.base, training.adapter)
    # Read by every process before one writes it anew.
    training.arguments.distributed_state.wait_for_everyone()
    if training.arguments.process_index == 0:
        if checkpoint is None:
            start_over(recipe.output)
        remove_parts(recipe.output)
        write_training(recipe.output, {**_summary(training), "held_out_sets": held_out_sets(recipe, before)})
        if training.refused:
            report({"step": done, "refused": training.refused})
    training.arguments.distributed_state.wait_for_everyone()
    trainer = make_trainer(training, report, done=done)
    try:
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    except (OSError, RuntimeError, SafetensorError) as error:
        if not _disk_is_full(error):
            raise
        text = " ".join(str(error).split())[:200]
        raise RunError(
            f"cannot write a checkpoint to {recipe.output}: {text}; the one before stays, use --resume"
        ) from error
    return write_results(_outcome(training, trainer))


def _outcome(training: Training, trainer: TreeTrainer) -> Outcome:
    found = (training.recipe, training.initial, training.base, training.adapter)
    return Outcome(*found, trainer, token_counts(training.store))


def set_up(recipe: Recipe, *, resume: bool = False) -> Training:
    """Read the data, load the model, encode the samples: what can be wrong with them is found here.

    With `resume` the arithmetic is that which the training began with.
    """
    from transformers import set_seed

    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    answers, held_out = Answers(recipe), read_examples(recipe.held_out)
    device = choose_device(recipe.device)
    precision = _precision(recipe, device, resume=resume)
    arguments = training_arguments(recipe, device, precision)
    _use_one_device(arguments, device)
    arguments.gradient_accumulation_steps = accumulation(recipe, arguments.world_size)
    if arguments.process_index == 0:
        answers.check_held_out(held_out)
    # What is not trained may be kept in the type that it is computed in.
    frozen = recipe.lora is not None or recipe.kind == "heads"
    if recipe.start.model is None:
        with arguments.main_process_first():
            answers.tokenizer()
    initial = prepare(recipe, answers, precision if frozen else torch.float32)
    check_attention(initial.model.config, str(recipe.start.model))
    base, adapter = base_fingerprint(initial.model, initial.tokenizer), merged_adapter(recipe)
    initial.model.set_attn_implementation(choose_attention(recipe, device))
    encoder = Encoder(
        initial.tokenizer,
        forked=recipe.mode == "forked",
        max_length=recipe.max_length,
        loss_on_prompt=recipe.loss_on_prompt,
    )
    with arguments.main_process_first():
        store = answers.samples(encoder)
    unasked = [encoder.refuses(example) for example in held_out]
    refused = [*store.refused, *(example.id for example, left_out in zip(held_out, unasked, strict=True) if left_out)]
    held_out = [example for example, left_out in zip(held_out, unasked, strict=True) if not left_out]
    packs = PackedDataset(store, recipe)
    set_seed(recipe.seed)
    model = _trained(recipe, initial)
    if choose_compile(recipe, device):
        _compile_layers(initial.model)
    found = (recipe, precision, initial, base, adapter, model, encoder, store, packs)
    return Training(*found, held_out, refused, arguments)


def _use_one_device(arguments: Any, device: torch.device) -> None:
    """One GPU a process: left to itself, the Trainer would split batches over all that it sees."""
    if device.index:
        raise UserError(
            f"device {device} cannot be chosen for training; set CUDA_VISIBLE_DEVICES={device.index} and device: cuda"
        )
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1


def _precision(recipe: Recipe, device: torch.device, *, resume: bool) -> torch.dtype:
    """That of the recipe; where it is to be measured, what was found when the training began."""
    began = read_training(recipe.output).get("precision") if resume and recipe.precision == "auto" else None
    return choose_precision(recipe, device) if began is None else getattr(torch, began)


def make_trainer(training: Training, report: OnStep, *, done: int = 0, measured: bool = True) -> TreeTrainer:
    """The Trainer of a training that has done so many steps; without `measured` it writes and evaluates nothing."""
    from transformers import EarlyStoppingCallback, PrinterCallback

    recipe = training.recipe
    chosen = training.held_out[: recipe.evaluate_samples] if measured else []
    callbacks: list[Any] = []
    if measured:
        callbacks.append(StepLog(recipe.output, recipe.packs_per_step * recipe.max_length, report, done=done))
    prompts = _to_answer(chosen, recipe.sample_answers) if recipe.kind == "sft" else []
    if prompts:
        answer = functools.partial(
            show_answers, tokenizer=training.initial.tokenizer, examples=prompts, forked=recipe.mode == "forked"
        )
        callbacks.append(SampleAnswers(recipe.output, answer))
    if recipe.stop_after is not None and chosen:
        callbacks.append(EarlyStoppingCallback(early_stopping_patience=recipe.stop_after))
    heads = recipe.kind == "heads"
    trainer = (HeadsTrainer if heads else TreeTrainer)(
        model=training.model,
        args=training.arguments,
        train_dataset=training.packs,
        data_collator=functools.partial(heads_batch, heads=recipe.heads.heads) if heads else trainer_batch,
        callbacks=callbacks,
        held_out=_held_out_batches(training, chosen),
        control_rate=recipe.optimizer.control_rate,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _to_answer(held_out: list[Example], count: int) -> list[Example]:
    """The first prompts, half of them with answers that fork."""
    forking = [example for example in held_out if example.structured][: -(-count // 2)]
    plain = [example for example in held_out if not example.structured][: count - len(forking)]
    return forking + plain


def _trained(recipe: Recipe, initial: InitialModel) -> Any:
    """What is trained: the model, an adapter on it, or heads."""
    if recipe.kind == "heads":
        return HeadsModel(initial.model, recipe.heads)
    if recipe.lora is not None:
        return add_adapter(initial.model, initial.tokenizer, recipe.lora, forked=recipe.mode == "forked")
    return initial.model


def _held_out_batches(training: Training, chosen: list[Example]) -> dict[str, list[PackedBatch]]:
    rows = training.recipe.packs_per_pass
    found = {}
    for kind, flag in (("structured", True), ("unstructured", False)):
        batches = list(training.encoder.fixed_batches([e for e in chosen if e.structured == flag], rows))
        if batches:
            found[kind] = batches
    if chosen and not found:
        raise UserError(
            f"none of the {len(chosen)} answers of held_out has at most max_length = {training.recipe.max_length} "
            "tokens; give others, or leave held_out out"
        )
    return found


def _compile_layers(model: Any) -> None:
    """Compile each repeated block by itself: one compilation serves them all."""
    names = set(model._no_split_modules or ())
    for module in model.modules():
        if type(module).__name__ in names:
            module.compile(dynamic=False)


def _summary(training: Training) -> dict[str, Any]:
    """What `training.json` says."""
    counted = [p for p in training.model.parameters() if p.requires_grad]
    return {
        "recipe": training.recipe.model_dump(mode="json"),
        "fingerprint": fingerprint(training.recipe),
        "base": training.base,
        "adapter": training.adapter,
        "precision": str(training.precision).removeprefix("torch."),
        "attention": training.initial.model.config._attn_implementation,
        "parameters": sum(p.numel() for p in training.initial.model.parameters()),
        "trained": sum(p.numel() for p in counted),
        "data": token_counts(training.store),
        "packs": len(training.packs),
        "held_out_examples": len(training.held_out),
        "refused": training.refused,
    }


def _disk_is_full(error: Exception) -> bool:
    """Whether writing failed, by any of the writers of a checkpoint."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
    writers = ("file write failed", "PytorchStreamWriter", "No space left", "I/O error", "I/OError", "os error 28")
    return any(word in str(error) for word in writers)
