"""`apar doctor`: what of apar works on this machine, and what to do about the rest."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from typing import TYPE_CHECKING

import click

from apar.cli.options import renamed_option

if TYPE_CHECKING:
    from rich.table import Table

    from apar.doctor.report import Check, Diagnosis

_STYLES = {"ok": "green", "missing": "yellow", "broken": "red"}


@click.command("doctor")
@click.argument("model", required=False)
@click.option("--backend", type=click.Choice(["local", "vllm"]), help="The backend that has to work.  [default: none]")
@click.option("--url", metavar="URL", help="A vLLM server that has to work, as http://host:8000.")
@click.option(
    "--remote-model",
    "served_model",
    metavar="NAME",
    help="Name of the model on the server to try.  [default: its first]",
)
@renamed_option("--served-model", "--remote-model")
@click.option("--api-key", metavar="KEY", help="The server's.  [default: $VLLM_API_KEY]")
@click.option("--json", "as_json", is_flag=True, help="Print the checks as one line of JSON.")
def command(
    model: str | None,
    backend: str | None,
    url: str | None,
    served_model: str | None,
    api_key: str | None,
    as_json: bool,
) -> None:
    """Look at what is installed here, at MODEL (a folder, a GGUF file, a hub id, or `demo`), and at a server.

    Each check is ok, missing or broken, and says what to do. The exit code is 1 where a backend that was named,
    the MODEL or the server does not work. Libraries are imported in a process of their own: one that crashes is
    a row of the table. A server is asked for one token.
    """
    if url is not None and backend == "local":
        raise click.UsageError("--url is of the vllm backend; leave --backend out")
    for option, value in (("--remote-model", served_model), ("--api-key", api_key)):
        if value is not None and url is None:
            raise click.UsageError(f"{option} goes with --url")
    from apar.doctor.checks import diagnose
    from apar.errors import RunError

    if sys.stderr.isatty():
        click.echo("looking, which takes some seconds", err=True)
    diagnosis = diagnose(model, backend, url, api_key or os.environ.get("VLLM_API_KEY"), served_model)
    if as_json:
        click.echo(json.dumps(diagnosis.to_dict()))
    else:
        _print(diagnosis)
    if diagnosis.failed:
        raise RunError("; ".join(_failure(subject, checks) for subject, checks in diagnosis.failed.items()))


def _failure(subject: str, checks: list[Check]) -> str:
    return f"{subject} does not work: {', '.join(f'{check.name} is {check.finding.status}' for check in checks)}"


def _print(diagnosis: Diagnosis) -> None:
    if importlib.util.find_spec("rich") is None:  # what is missing is to be told all the same
        for check in diagnosis.checks:
            click.echo("  ".join(filter(None, (check.name, *check.finding))))
    else:
        from rich.console import Console

        Console(highlight=False).print(_table(diagnosis))
    for subject in diagnosis.shown:
        works = diagnosis.works(subject)
        click.secho(f"{subject}: {'works' if works else 'does not work'}", fg="green" if works else "yellow")


def _table(diagnosis: Diagnosis) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from apar.view.labels import printable

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("check", "status", "found"):
        table.add_column(name, no_wrap=name != "found")
    for check in diagnosis.checks:
        status, found, advice = check.finding
        text = Text(printable(found))
        if advice:
            text.append(f"\n→ {printable(advice)}", "bold")
        table.add_row(check.name, Text(status, _STYLES[status]), text)
    return table
