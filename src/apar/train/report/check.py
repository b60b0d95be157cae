"""`apar train --check`: what a recipe would train on, and what it would take, without training."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from apar.sizes import show_bytes
from apar.train.batches import PackedBatch
from apar.train.dataset import token_counts, trainer_batch
from apar.train.recipe import Recipe
from apar.train.report.refused import told_ids
from apar.train.run import Training, make_trainer, set_up
from apar.train.samples import NO_TARGET, TEXT, Sample

SAMPLES = 10
SHOWN_TOKENS = 120
_STYLES = ("cyan", "green", "magenta", "yellow", "blue", "red")


@dataclass(frozen=True, slots=True)
class Cost:
    """What two optimizer steps took: seconds of the second, and the most memory in bytes."""

    seconds: float
    memory: int


def check_recipe(recipe: Recipe) -> RenderableType:
    """Ten samples of the first packs, what is drawn from, and the time and memory of the whole by two steps."""
    training = set_up(recipe.model_copy(update={"sample_answers": 0, "report_to": ()}))
    cost = measure(training)
    return Group(*_samples(training), _summary(training, cost))


def measure(training: Training) -> Cost:
    """Run two optimizer steps on the first packs, without a change to files or weights that anybody keeps."""
    trainer = make_trainer(training, lambda line: None, measured=False)
    optimizer = trainer.create_optimizer()
    training.model.train()
    if training.recipe.gradient_checkpointing:
        training.model.gradient_checkpointing_enable({"use_reentrant": False})
    passes = training.arguments.gradient_accumulation_steps
    rows = training.recipe.packs_per_pass
    seconds = 0.0
    for _ in range(2):
        began = time.perf_counter()
        for number in range(passes):
            packs = [training.packs[number * rows + row] for row in range(rows)]
            batch = trainer._prepare_inputs(trainer_batch(packs))
            with torch.autocast(trainer.args.device.type, torch.bfloat16, enabled=trainer.args.bf16):
                loss = trainer.summed_loss(training.model, PackedBatch.of(batch))
            loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        seconds = time.perf_counter() - began
    if torch.cuda.is_available():
        return Cost(seconds, torch.cuda.max_memory_allocated())
    return Cost(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10)


def _samples(training: Training) -> Iterator[RenderableType]:
    """The first samples to be trained on: what is learned in a colour for each thread, dim what is only read."""
    numbers = list(islice(dict.fromkeys(n for pack in training.packs.packs for n in pack), SAMPLES))
    for number in numbers:
        sample = training.store[number]
        yield Text(f"\nsample {number}: {len(sample)} tokens, {sum(map(bool, sample.target))} labels", "bold")
        yield _shown(training, sample)


def _shown(training: Training, sample: Sample) -> Text:
    """The tokens in the order of the pack; `|n|` where a token does not attend to the one before it, but from n on."""
    text = Text()
    tokenizer = training.initial.tokenizer
    predicted = {at for at, kind in zip(sample.next, sample.target, strict=True) if kind != NO_TARGET}
    kinds = dict(zip(sample.next, sample.target, strict=True))
    thread = 0
    for index, token in enumerate(sample.ids[:SHOWN_TOKENS]):
        if index and sample.subtree_end[index - 1] <= index:
            thread += 1
            text.append(f" |at {sample.positions[index]}| ", "reverse")
        style = _STYLES[thread % len(_STYLES)] if index in predicted else "dim"
        text.append(tokenizer.decode([token]), style + (" bold" if kinds.get(index) not in (TEXT, None) else ""))
    if len(sample) > SHOWN_TOKENS:
        text.append(f" … {len(sample) - SHOWN_TOKENS} more", "dim")
    return text


def _summary(training: Training, cost: Cost) -> RenderableType:
    recipe, counts = training.recipe, token_counts(training.store)
    packs = training.packs.packs
    drawn = sum(map(len, packs))
    room = sum(training.store.room[n] for pack in packs for n in pack) / (len(packs) * recipe.max_length)
    trained = sum(p.numel() for p in training.model.parameters() if p.requires_grad)
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in (
        ("answers that fit", f"{counts['samples']:,}, {counts['structured']:,} structured"),
        ("too long", f"{counts['too_long']:,}"),
        ("refused by the chat template", told_ids(training.refused)),
        (
            "drawn",
            f"{drawn:,} in {len(packs):,} packs, {room:.0%} full",
        ),
        ("trained", f"{trained:,} parameters"),
        ("arithmetic", f"{training.precision}, {training.initial.model.config._attn_implementation} attention"),
        ("a step", f"{cost.seconds:.1f} s ({recipe.packs_per_step * recipe.max_length / cost.seconds:.0f} tokens/s)"),
        ("the whole", f"{cost.seconds * recipe.steps / 3600:.1f} hours for {recipe.steps:,} steps, without evaluation"),
        ("memory", show_bytes(cost.memory)),
    ):
        table.add_row(name, value)
    return Group(Text(), table)
