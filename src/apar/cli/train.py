"""`apar train CONFIG.yaml`: run a training recipe."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from apar.errors import AparError

if TYPE_CHECKING:
    from apar.train.recipe import Recipe


@click.command("train")
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set a value over the config's (repeatable).",
)
@click.option("--resume", is_flag=True, help="Continue from the last checkpoint in the output folder.")
@click.option("--restart", is_flag=True, help="Begin anew where the output folder holds a training already.")
@click.option(
    "--check",
    is_flag=True,
    help="Train nothing: show ten samples with their labels, and estimate memory and time by two steps.",
)
def command(config: Path, overrides: tuple[str, ...], resume: bool, restart: bool, check: bool) -> None:
    """Train a model to fork, or Medusa heads, by the recipe CONFIG (see recipes/).

    Prints the folder of the result: an adapter with `lora`, otherwise a whole model. For several GPUs or machines
    start it by `accelerate launch --config_file recipes/accelerate/FILE -m apar train CONFIG`.
    """
    if resume and restart:
        raise click.UsageError("give --resume or --restart, not both")
    from apar.config import load_config
    from apar.train.recipe import Recipe

    recipe = load_config(config, Recipe, overrides)
    from apar.extras import require

    require("train", "torch", "transformers", "accelerate", "peft")
    from apar.cli.answering import quiet_libraries

    quiet_libraries()
    if check:
        from rich.console import Console

        from apar.train.report.check import check_recipe

        Console(highlight=False, soft_wrap=True).print(check_recipe(recipe))
        return
    again = shlex.join(["apar", "train", str(config), *(part for one in overrides for part in ("--set", one))])
    folder = _train(recipe, again, resume=resume, restart=restart)
    if os.environ.get("RANK", "0") == "0":
        click.echo(folder)


class StoppedError(AparError):
    """The user ended a training."""

    exit_code = 130


def _train(recipe: Recipe, again: str, *, resume: bool, restart: bool) -> Path:
    """Run the training beside a progress bar; `again` is its command without --resume.

    Raises StoppedError on Ctrl-C.
    """
    step = 0

    def reached(line: dict[str, Any]) -> None:
        nonlocal step
        step = line["step"]

    try:
        return _beside_a_bar(recipe, reached, resume=resume, restart=restart)
    except KeyboardInterrupt as error:
        raise StoppedError(_interrupted(recipe, step, again, begun=resume or step > 0)) from error


def _interrupted(recipe: Recipe, step: int, again: str, *, begun: bool) -> str:
    """What is left of a training that was interrupted after a step, and how it goes on."""
    from apar.train.checkpoints import newest_step

    # Checkpoints that were there before a training's first step are not of this one.
    kept = newest_step(recipe.output) if begun else None
    when = f"after step {step} of {recipe.steps}" if step else "before the first step"
    if kept is None:
        return f"interrupted {when}, with no checkpoint to go on from; begin anew with `{again}`"
    return f"interrupted {when}; go on from checkpoint-{kept} with `{again} --resume`"


def _beside_a_bar(recipe: Recipe, reached: Callable[[dict[str, Any]], None], *, resume: bool, restart: bool) -> Path:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from apar.train.report.refused import told_ids
    from apar.train.run import train

    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(),
    )
    # Of several processes one tells how it goes.
    with Progress(*columns, console=Console(stderr=True), disable=os.environ.get("RANK", "0") != "0") as progress:
        task = progress.add_task("training", total=recipe.steps, figures="")

        def report(line: dict[str, Any]) -> None:
            reached(line)
            if "refused" in line:
                left_out = told_ids(line["refused"])
                progress.console.print(f"apar: left out, as the chat template refuses them: {left_out}", markup=False)
                return
            if "held_out" in line:
                parts = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in line["held_out"].items())
                progress.console.print(f"step {line['step']}: {parts}")
                return
            figures = f"loss {line['loss']:.3f}, {line['tokens'] / line['seconds']:.0f} tokens/s"
            progress.update(task, completed=line["step"], figures=figures)

        return train(recipe, resume=resume, restart=restart, report=report)
