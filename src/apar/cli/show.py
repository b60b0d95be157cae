"""`apar show DIR/trees.jsonl -i N`: draw a paragraph tree in the terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from apar.cli.options import count_option

if TYPE_CHECKING:
    from apar.data.records import TreeRecord
    from apar.data.token_counter import TokenCounter


@click.command("show")
@click.argument("trees", metavar="TREES", type=click.Path(path_type=Path))
@count_option("-i", "--index", help="Which tree of the file, counted from 0 (default: the first).", least=0)
@click.option("--id", "identity", metavar="ID", help="The tree with this id.")
@click.option(
    "--tokenizer",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="Count tokens by this model folder, tokenizer.json or SentencePiece .model (default: by words).",
)
@click.option("--json", "as_json", is_flag=True, help="Print the record and its figures as one line of JSON.")
def command(trees: Path, index: int | None, identity: str | None, tokenizer: Path | None, as_json: bool) -> None:
    """Draw a tree of a file that `apar extract` wrote, JSON lines or Parquet, or of the folder that it wrote to.

    Details are set in under their leads, each thread in its colour, with a bar before it for every thread that it
    is within. [Fork] is followed by the thread that it opens. Groups of parts that do not fork stand between
    ⟦reason: and ⟧. Below are the figures of the tree.
    """
    from apar.data.token_counter import load_counter, word_counter

    if index is not None and identity is not None:
        raise click.UsageError("give -i N or --id ID, not both")
    record = _record(trees, index or 0, identity)
    counter = load_counter(tokenizer) if tokenizer else word_counter()
    if as_json:
        _print_json(record, counter)
    else:
        _draw(record, counter)


def _record(trees: Path, index: int, identity: str | None) -> TreeRecord:
    from apar.data.records import read_tree, read_trees
    from apar.errors import UserError

    if identity is None:
        return read_tree(trees, index)
    found = next((record for record in read_trees(trees) if record.id == identity), None)
    if found is None:
        raise UserError(f"there is no tree with the id {identity!r} in {trees}")
    return found


def _print_json(record: TreeRecord, counter: TokenCounter) -> None:
    from apar.corpus.page import figures_data
    from apar.stats import tree_stats

    figures = figures_data(tree_stats(record.tree, counter.count))
    click.echo(json.dumps({**record.to_dict(), "token_counter": counter.name, "figures": figures}))


def _draw(record: TreeRecord, counter: TokenCounter) -> None:
    from rich.console import Console
    from rich.text import Text

    from apar.view.labels import printable
    from apar.view.tree import draw_tree

    console = Console(highlight=False)
    for message in record.messages:
        role, content = printable(f"{message['role']}: "), printable(message["content"].strip())
        console.print(Text.assemble((role, "bold"), content))
    console.print()
    console.print(draw_tree(record.tree, _title(record), record.refusals))
    console.print()
    for line in _figures(record, counter):
        console.print(Text(line, "dim"))


def _title(record: TreeRecord) -> str:
    verdict = f"{record.rule}: {record.reason}" if record.reason else record.rule
    return f"{record.id} ({verdict.replace('_', ' ')})"


def _figures(record: TreeRecord, counter: TokenCounter) -> list[str]:
    from apar.stats import tree_stats

    stats = tree_stats(record.tree, counter.count)
    attended, kv = (stats.attended_forked, stats.attended_sequential), (stats.kv_forked.sum, stats.kv_sequential.sum)
    return [
        f"{stats.tokens} tokens ({counter.name}), {stats.threads} threads, "
        f"{stats.peak_threads} at once, depth {stats.depth}",
        f"critical path {stats.critical_path} steps, ideal speed-up {stats.speedup:.2f}x",
        f"attended tokens {_against(*attended)}",
        f"KV-token-steps {_against(*kv)}",
    ]


def _against(forked: int, sequential: int) -> str:
    return f"{forked:,}, sequentially {sequential:,}" + (f" ({forked / sequential:.2f}x)" if sequential else "")
