"""`apar train CONFIG.yaml`: run a training recipe."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

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
@click.option(
    "--check",
    is_flag=True,
    help="Train nothing: show ten samples with their labels, and estimate memory and time by two steps.",
)
def command(config: Path, overrides: tuple[str, ...], resume: bool, check: bool) -> None:
    """Train a model to fork, or Medusa heads, by the recipe CONFIG (see recipes/).

    Prints the folder of the result: an adapter with `lora`, otherwise a whole model. For several GPUs or machines
    start it by `accelerate launch --config_file recipes/accelerate/FILE -m apar train CONFIG`.
    """
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
    folder = _train(recipe, resume)
    if os.environ.get("RANK", "0") == "0":
        click.echo(folder)


def _train(recipe: Recipe, resume: bool) -> Path:
    """Run the training beside a progress bar."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

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
            if "held_out" in line:
                parts = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in line["held_out"].items())
                progress.console.print(f"step {line['step']}: {parts}")
                return
            figures = f"loss {line['loss']:.3f}, {line['tokens'] / line['seconds']:.0f} tokens/s"
            progress.update(task, completed=line["step"], figures=figures)

        return train(recipe, resume=resume, report=report)
