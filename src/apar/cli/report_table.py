"""The report of an extraction as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

_WIDTH = 88
_COLUMNS = ("number", "tokens", "path", "speed-up", "attended", "KV")


def print_report(data: Mapping[str, Any]) -> None:
    """Print the figures and counts of a report on standard output."""
    from rich.console import Console
    from rich.table import Table

    for source in data["sources"]:
        click.echo(source)
    table = Table()
    table.add_column("answers", no_wrap=True)
    for column in _COLUMNS:
        table.add_column(column, justify="right")
    for name in ("all", "structured"):
        table.add_row(name, *_figures(data[name]))
    for kind, counts in _counts(data):
        table.add_section()
        for name, number in sorted(counts.items(), key=lambda pair: -pair[1]):
            table.add_row(f"{kind}: {name}", f"{number:,}")
    Console(width=_WIDTH).print(table)
    formats = ", ".join(f"{name} ({number:,})" for name, number in data["by_format"].items())
    click.echo(f"Read as {formats or 'nothing'}. Tokens are counted by {data['token_counter']}. Speed-up: the ideal")
    click.echo("one, tokens over critical path. Attended tokens, KV-token-steps: forked over sequential.")


def _figures(figures: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"{figures[key]:,}" for key in ("answers", "tokens", "critical_path"))
    ratios = (figures["ideal_speedup"]["corpus"], figures["attended"]["ratio"], figures["kv_token_steps"]["ratio"])
    yield from ("–" if ratio is None else f"{ratio:.2f}x" for ratio in ratios)


def _counts(data: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, int]]]:
    yield "rule", data["by_rule"]
    yield "reason", data["by_reason"]
    left_out = {**data["dropped"]["by_reason"]}
    if data["broken"]["count"]:
        left_out["broken"] = data["broken"]["count"]
    yield "left out", left_out
    if "verify" in data:
        yield "verify", {name: value for name, value in data["verify"].items() if isinstance(value, int)}
