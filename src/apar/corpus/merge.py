"""The parts of a run put together, in order: what is kept goes into its file, and everything is counted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from apar.corpus.chunk_store import ChunkStore
from apar.corpus.config import ExtractConfig
from apar.corpus.report import Report
from apar.corpus.verdicts import verdicts
from apar.corpus.worker import Dropped, Kept, Row
from apar.data.raw import BrokenRecord
from apar.data.writers import TreesFormat, tree_writer


def merge(
    store: ChunkStore, chunks: int, output: Path, form: TreesFormat, config: ExtractConfig, report: Report
) -> None:
    """Write `trees` and, if any answers are held out, `heldout` into `output`; count everything in `report`."""
    reasons = iter(verdicts(partial(_kept, store, chunks), config))
    with ExitStack() as files:
        trees = files.enter_context(tree_writer(output / f"trees.{form}", form))
        held_out = trees
        if config.split.held_out > 0:
            held_out = files.enter_context(tree_writer(output / f"heldout.{form}", form))
        for row, line in _rows(store, chunks):
            if isinstance(row, BrokenRecord):
                report.add_broken(row)
            elif isinstance(row, Dropped):
                report.add_dropped(row.reason, row.source)
            elif (drop := next(reasons)) is not None:
                report.add_dropped(drop, row.summary.source)
            else:
                report.add(row.summary, row.held_out)
                (held_out if row.held_out else trees).write(line)


def _rows(store: ChunkStore, chunks: int) -> Iterator[tuple[Row, str]]:
    """All rows in order, each answer that is kept with its line."""
    for index in range(chunks):
        lines = store.lines(index)
        for row in store.rows(index):
            yield row, next(lines) if isinstance(row, Kept) else ""


def _kept(store: ChunkStore, chunks: int) -> Iterator[Kept]:
    for index in range(chunks):
        yield from (row for row in store.rows(index) if isinstance(row, Kept))
