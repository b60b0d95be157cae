"""`apar generate MODEL --input FILE --output FILE`: answer the prompts of a file, as trees to train on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from apar.cli.options.backend import BackendChoice, open_engine
from apar.decoding.params import SamplingParams
from apar.sizes import counted

if TYPE_CHECKING:
    from apar.backends.answer_file import Tally


def write_answers(
    model: str,
    source: Path,
    output: Path,
    params: SamplingParams,
    concurrency: int,
    choice: BackendChoice,
    loading: dict[str, Any],
) -> None:
    """Answer what the file `output` does not hold yet, and say on standard error what became of the prompts."""
    from rich.console import Console
    from rich.progress import Progress

    from apar.backends.answer_file import Tally, answer_file
    from apar.data.prompts import read_prompts

    prompts = read_prompts(source)
    tally = Tally()
    with open_engine(model, choice, loading) as engine, Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("answering", total=len(prompts) * params.n)
        for tally in answer_file(engine, prompts, params, output, model, concurrency):
            progress.update(task, completed=tally.before + tally.kept + tally.left_out.total())
    click.echo(_summary(tally, output), err=True)


def _summary(tally: Tally, output: Path) -> str:
    text = f"{counted(tally.kept, 'answer')} written to {output}, {tally.forking} of them fork"
    if tally.before:
        text += f"; {tally.before} were answered before"
    if tally.left_out:
        reasons = ", ".join(f"{number} {reason}" for reason, number in tally.left_out.items())
        text += f"; left out: {reasons}"
    return text if tally.refused is None else f"{text} (the first: {tally.refused})"
