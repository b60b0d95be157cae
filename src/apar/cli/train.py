"""`apar train CONFIG.yaml`: run a training recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


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
def command(config: Path, overrides: tuple[str, ...], resume: bool) -> None:
    """Train a model to fork, by the recipe CONFIG (see recipes/).

    Prints the folder of the trained model, which loads with AutoModelForCausalLM.
    """
    from apar.config import load_config
    from apar.train.recipe import Recipe

    recipe = load_config(config, Recipe, overrides)
    from apar.extras import require

    require("local", "torch", "transformers")
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from apar.cli.answering import quiet_libraries
    from apar.train.sft import train

    quiet_libraries()
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("training", total=recipe.steps, figures="")

        def report(line: dict[str, Any]) -> None:
            figures = f"loss {line['loss']:.3f}, {line['tokens'] / line['seconds']:.0f} tokens/s"
            progress.update(task, completed=line["step"], figures=figures)
            if "held_out" in line:
                text = line["held_out"]["text"]
                progress.console.print(f"step {line['step']}: {figures}, held-out loss {text:.3f} a token of text")

        folder = train(recipe, resume=resume, report=report)
    click.echo(folder)
