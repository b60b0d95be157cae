"""`apar extract FILE... -o DIR`: turn chats into paragraph trees."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from apar.corpus.report import Report
    from apar.data.lines import BrokenRecord

_TOLD_RECORDS = 10
_TABLE_WIDTH = 79


@click.command("extract")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The folder for trees.jsonl and report.json.",
)
@click.option(
    "--tokenizer",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="Count tokens by this model folder, tokenizer.json or SentencePiece .model (default: by words).",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as one line of JSON.")
def command(files: tuple[Path, ...], output: Path, tokenizer: Path | None, as_json: bool) -> None:
    """Turn the answers of chats into paragraph trees.

    Reads ShareGPT, Alpaca, OpenAI messages and prompt/response records, in JSON or JSON lines, plain or
    gzip-compressed. Writes DIR/trees.jsonl, a record per answer, and DIR/report.json.
    """
    from rich.console import Console

    from apar.corpus.report import Report
    from apar.data.counters import load_counter, word_counter
    from apar.data.files import atomic_write

    report = Report(load_counter(tokenizer) if tokenizer else word_counter())
    with (
        atomic_write(output / "report.json") as report_file,
        atomic_write(output / "trees.jsonl") as trees_file,
    ):
        _extract(files, report, trees_file)
        data = report.to_dict()
        report_file.write(json.dumps(data, ensure_ascii=False, indent=2) + "\n")
    if as_json:
        click.echo(json.dumps(data, ensure_ascii=False))
        return
    for file in data["files"]:
        click.echo(f"{file['file']}: {file['format']}, {file['answers'] + file['empty']:,} answers")
    Console(width=_TABLE_WIDTH).print(_table(data))
    click.echo(f"Tokens are counted by {data['token_counter']}. Written: {output}/trees.jsonl, report.json")


def _extract(files: Sequence[Path], report: Report, trees: TextIO) -> None:
    """Extract all files; tell on standard error how far it is, and what is left out."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from apar.corpus.run import extract_files
    from apar.data.lines import BrokenRecord

    columns = (
        SpinnerColumn(),
        TextColumn("extracting"),
        BarColumn(),
        TextColumn("{task.fields[answers]:,} answers"),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("extracting", total=len(files), answers=0)
        for found in extract_files(files, trees, report):
            if isinstance(found, BrokenRecord):
                _warn(console, found, report.files[-1].broken)
            progress.update(task, completed=len(report.files) - 1, answers=report.num_answers)


def _warn(console: Console, record: BrokenRecord, number: int) -> None:
    """Tell of a file's first broken records; the report lists the others."""
    if number <= _TOLD_RECORDS:
        console.print(f"apar: left out: {record.place}: {record.problem}", markup=False)
    elif number == _TOLD_RECORDS + 1:
        console.print(f"apar: more is left out of {record.place.file}; report.json lists it", markup=False)


def _table(data: dict[str, Any]) -> Table:
    from rich.table import Table

    table = Table()
    table.add_column("answers", no_wrap=True)
    for column in ("number", "tokens", "critical path", "ideal speed-up"):
        table.add_column(column, justify="right")
    for name in ("all", "structured"):
        figures = data[name]
        speedup = figures["ideal_speedup"]["corpus"]
        numbers = (f"{figures[key]:,}" for key in ("answers", "tokens", "critical_path"))
        table.add_row(name, *numbers, "–" if speedup is None else f"{speedup:.2f}x")
    for kind in ("rule", "reason"):
        table.add_section()
        for name, number in sorted(data[f"by_{kind}"].items(), key=lambda pair: -pair[1]):
            table.add_row(f"{kind}: {name}", f"{number:,}")
    if data["broken"]["count"]:
        table.add_section()
        table.add_row("broken, left out", f"{data['broken']['count']:,}")
    return table
