"""`apar extract FILE... -o DIR`: turn chats into paragraph trees."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from apar.cli.options import count_option

if TYPE_CHECKING:
    from apar.corpus.chunks import Source
    from apar.corpus.run import ExtractionRun, Progress

_TOLD_RECORDS = 10
_FORMATS = ("jsonl", "jsonl.gz", "jsonl.zst", "parquet")


@click.command("extract")
@click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The folder for the trees, report.json and the data card.",
)
@click.option("--dataset", metavar="NAME", help="A Hugging Face data set: its name on the hub, or its folder.")
@click.option("--dataset-split", default="train", show_default=True, metavar="NAME", help="The split of --dataset.")
@click.option(
    "--preset",
    type=click.Choice(("default", "paper")),
    default="default",
    show_default=True,
    help="The rules of structure: ours, or those of the paper.",
)
@click.option(
    "--config",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="YAML file with settings, see recipes/extract.yaml.",
)
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Set a value over the file's (repeatable)."
)
@click.option(
    "--map",
    "fields",
    multiple=True,
    metavar="KEY=FIELD",
    help="Read a field of the records as a known key, as in --map prompt=ask --map response=reply (repeatable).",
)
@click.option("--format", "form", type=click.Choice(_FORMATS), default="jsonl", show_default=True)
@count_option("--processes", help="Worker processes (default: one a core).")
@click.option("--restart", is_flag=True, help="Discard an unfinished run instead of continuing it.")
@click.option(
    "--tokenizer",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="Count tokens by this model folder, tokenizer.json or SentencePiece .model (default: by words).",
)
@click.option(
    "--verify", metavar="MODEL", help="Check by a model which details depend on others, and merge those back."
)
@click.option("--verify-sequential", metavar="MODEL", help="Another model for the sequential side of --verify.")
@count_option("--verify-length", help="Skip answers longer than N tokens in --verify.", least=2)
@click.option("--html", metavar="FILE", type=click.Path(path_type=Path), help="A page to browse a sample of the trees.")
@click.option("--html-sample", type=click.IntRange(min=1), default=100, show_default=True, metavar="N")
@click.option("--json", "as_json", is_flag=True, help="Print the report as one line of JSON.")
def command(**options: Any) -> None:
    """Turn the answers of chats into paragraph trees.

    Reads conversations (ShareGPT, OpenAI messages, LMSYS, WildChat, UltraChat, OpenAssistant, ChatGPT's export), and
    questions with answers (Alpaca, Dolly, prompt/response and other names), in JSON, JSON lines or Parquet, plain or
    compressed by gzip or Zstandard; docs/extraction.md says more. Writes DIR/trees.jsonl, a record per answer,
    DIR/report.json and the data card DIR/card.md. A run that was killed goes on with the same command.
    """
    from apar.cli.report_table import print_report

    _end_on_sigterm()
    run = _run(options)
    data = _with_progress(run)
    if options["verify"]:
        _verify(run, data, options)
    if options["html"]:
        _write_page(run, data, options["html"], options["html_sample"])
    _tell_broken(data)
    if options["as_json"]:
        click.echo(json.dumps(data, ensure_ascii=False))
    else:
        print_report(data)
        click.echo(f"Written: {run.trees}, report.json, card.md")
    _check_something_is_left(run, data)


def _run(options: dict[str, Any]) -> ExtractionRun:
    from apar.corpus.config import configuration
    from apar.corpus.pool import available_processes
    from apar.corpus.run import ExtractionRun

    return ExtractionRun(
        _sources(options),
        options["output"],
        configuration(options["config"], options["preset"], (*options["overrides"], *_mapping(options["fields"]))),
        options["form"],
        options["tokenizer"],
        options["processes"] or available_processes(),
        options["restart"],
    )


def _mapping(fields: tuple[str, ...]) -> list[str]:
    """`--map` as overrides of the configuration."""
    found = []
    for field in fields:
        key, equals, name = field.partition("=")
        if not (equals and key and name) or "." in key:
            raise click.UsageError(f"--map {field}: write it as KEY=FIELD, for example --map prompt=ask")
        found.append(f"map.{key}={json.dumps(name)}")
    return found


def _sources(options: dict[str, Any]) -> list[Source]:
    from apar.corpus.chunks import Source

    sources = [Source(path) for path in options["files"]]
    if options["dataset"]:
        sources.append(Source(Path(options["dataset"]), options["dataset_split"]))
    if not sources:
        raise click.UsageError("give files with chats, or --dataset NAME")
    if (options["verify_sequential"] or options["verify_length"]) and not options["verify"]:
        raise click.UsageError("--verify-sequential and --verify-length need --verify MODEL")
    if options["verify"] and options["form"] != "jsonl":
        raise click.UsageError("--verify writes plain JSON lines: leave out --format")
    return sources


def _end_on_sigterm() -> None:
    """Let a request to end be an ordinary exit, which leaves no half-written file."""

    def end(number: int, frame: Any) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, end)


def _with_progress(run: ExtractionRun) -> dict[str, Any]:
    """Do the run; tell on standard error how far it is."""
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    told = False
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading", total=None)

        def on_progress(progress: Progress) -> None:
            nonlocal told
            if progress.resumed and not told:
                told = True
                console.print(f"apar: going on where a run was interrupted: {progress.resumed} chunks are done")
            bar.update(task, description=f"extracting, {progress.records:,} records")

        return run.run(on_progress)


def _verify(run: ExtractionRun, data: dict[str, Any], options: dict[str, Any]) -> None:
    from apar.verify.measure import VerifyConfig, verify_file

    config = VerifyConfig(min_parts=run.config.structure.min_parts, max_length=options["verify_length"])
    click.echo(f"apar: measuring the details with {options['verify']}", err=True)
    data["verify"] = verify_file(
        run.trees, run.trees, options["verify"], config, sequential=options["verify_sequential"]
    )
    run.write_report(data)


def _write_page(run: ExtractionRun, data: dict[str, Any], path: Path, sample: int) -> None:
    from apar.corpus.page import sampled, write_page
    from apar.data.files import atomic_write
    from apar.data.records import read_trees
    from apar.data.token_counter import load_counter, word_counter

    counter = load_counter(run.tokenizer) if run.tokenizer else word_counter()
    with atomic_write(path) as file:
        write_page(file, sampled(read_trees(run.trees), sample), data, counter)


def _tell_broken(data: dict[str, Any]) -> None:
    """Tell of the first broken records; the report lists the others."""
    records = data["broken"]["records"]
    for record in records[:_TOLD_RECORDS]:
        click.echo(f"apar: left out: {record['file']}, line {record['line']}: {record['problem']}", err=True)
    if data["broken"]["count"] > _TOLD_RECORDS:
        click.echo(f"apar: {data['broken']['count']} broken records are left out; report.json lists them", err=True)


def _check_something_is_left(run: ExtractionRun, data: dict[str, Any]) -> None:
    """Raise UserError if not one answer was kept."""
    if data["answers"]:
        return
    from apar.errors import UserError

    reasons = dict(data["dropped"]["by_reason"])
    if data["broken"]["count"]:
        reasons["broken"] = data["broken"]["count"]
    counted = ", ".join(f"{name} {count:,}" for name, count in reasons.items())
    raise UserError(
        f"{run.trees} has no answers: all were left out ({counted}); change the filters, see {run.output}/report.json"
    )
