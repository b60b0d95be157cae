"""`apar evaluate CONFIG.yaml`: measure a model on held-out prompts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.table import Table

    from apar.eval.speed import Pair


@click.command("evaluate")
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Replace a value of the config (again for more).",
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON instead of the table.")
def command(config: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Measure a model by the evaluation CONFIG (see recipes/): every prompt forked and sequentially in one run,
    and the held-out loss against the sequential twin's.
    """
    from apar.extras import require

    require("local", "torch", "transformers")
    from rich.console import Console
    from rich.progress import Progress

    from apar.cli.answering import quiet_libraries
    from apar.config import load_config
    from apar.eval.plan import Plan
    from apar.eval.run import evaluate

    plan = load_config(config, Plan, overrides)
    quiet_libraries()
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("answering", total=plan.prompts)

        def report(done: int, total: int, pair: Pair) -> None:
            progress.update(task, completed=done, total=total)

        result = evaluate(plan, report)
    if as_json:
        click.echo(json.dumps(result))
    else:
        Console().print(_speed_table(result["speed"]))
        click.echo(_loss_line(result["loss"]))


def _speed_table(speed: dict[str, Any]) -> Table:
    from rich.table import Table

    table = Table(title="forked against sequential, same model, same run")
    for column in ("prompts", "number", "fork", "tokens/step", "rate", "median", "seconds", "KV peak"):
        table.add_column(column, justify="left" if column == "prompts" else "right")
    for name, part in speed.items():
        if part is None:
            table.add_row(name, "0", *["–"] * 6)
            continue
        table.add_row(
            name,
            str(part["prompts"]),
            f"{part['forking']:.0%}",
            f"{part['tokens_per_step']:.2f}",
            f"{part['rate_ratio']:.2f}x",
            f"{part['median_ratio']:.2f}x",
            f"{part['seconds_ratio']:.2f}x",
            f"{part['kv_peak_ratio']:.2f}x",
        )
    return table


def _loss_line(loss: dict[str, Any]) -> str:
    line = f"held-out loss: {loss['model']['text']:.4f} nats a token over {loss['model']['text_tokens']} tokens of text"
    if "twin" in loss:
        line += f"; sequential twin {loss['twin']['text']:.4f}; ratio {loss['ratio']:.4f}"
    return line
