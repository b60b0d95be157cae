"""`apar show DIR/trees.jsonl -i N`: draw a paragraph tree in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from apar.data.records import TreeRecord


@click.command("show")
@click.argument("trees", metavar="TREES.JSONL", type=click.Path(path_type=Path))
@click.option(
    "-i",
    "--index",
    default=0,
    show_default=True,
    metavar="N",
    type=click.IntRange(min=0),
    help="Which tree of the file, counted from 0.",
)
def command(trees: Path, index: int) -> None:
    """Draw a tree of a file that `apar extract` wrote: its threads, forks and figures."""
    from rich.console import Console
    from rich.text import Text

    from apar.data.records import read_tree
    from apar.view.labels import printable
    from apar.view.tree import draw_tree

    record = read_tree(trees, index)
    console = Console(highlight=False)
    for message in record.messages:
        role, content = printable(f"{message['role']}: "), printable(message["content"].strip())
        console.print(Text.assemble((role, "bold"), content))
    console.print()
    console.print(draw_tree(record.tree, _title(record)))
    console.print()
    console.print(Text(_figures(record), "dim"), soft_wrap=True)


def _title(record: TreeRecord) -> str:
    verdict = f"{record.rule}: {record.reason}" if record.reason else record.rule
    return f"{record.id} ({verdict.replace('_', ' ')})"


def _figures(record: TreeRecord) -> str:
    from apar.data.counters import word_counter
    from apar.stats import tree_stats

    counter = word_counter()
    stats = tree_stats(record.tree, counter.count)
    return (
        f"{stats.tokens} tokens ({counter.name}), {stats.threads} threads, "
        f"critical path {stats.critical_path} steps, ideal speed-up {stats.speedup:.2f}x"
    )
