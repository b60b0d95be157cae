"""`apar evaluate PLAN.yaml`: measure a model on held-out prompts."""

from __future__ import annotations

import json
from pathlib import Path

import click

from apar.cli.options import count_option


@click.command("evaluate")
@click.argument("plan", type=click.Path(path_type=Path))
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Replace a value of the plan (again for more).",
)
@click.option(
    "--samples",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.md",
    help="Write answers of the model and of its twin side by side, shuffled, the key at the end.",
)
@count_option("--cpu-threads", help="Number of CPU threads, in place of the plan's `threads`.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON instead of the tables.")
def command(
    plan: Path, overrides: tuple[str, ...], samples: Path | None, cpu_threads: int | None, as_json: bool
) -> None:
    """Measure a model by the evaluation PLAN (see recipes/): every prompt forked, as the same answer one thread
    at a time, and by the sequential twin and the base, in one run; how fast, how long, how good.

    Killed, it goes on with the same command.
    """
    from apar.extras import require

    require("local", "torch", "transformers")
    from rich.console import Console
    from rich.progress import Progress

    from apar.cli.answering import quiet_libraries
    from apar.cli.evaluate_tables import print_result
    from apar.config import load_config
    from apar.eval.plan import Plan
    from apar.eval.run import evaluate

    threads = () if cpu_threads is None else (f"threads={cpu_threads}",)
    chosen = load_config(plan, Plan, (*overrides, *threads))
    quiet_libraries()
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("loading", total=None)

        def report(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total)

        result = evaluate(chosen, report, samples)
        report("done", 1, 1)
    if as_json:
        click.echo(json.dumps(result))
    else:
        print_result(Console(), result)
