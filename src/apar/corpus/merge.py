"""The parts of a run put together, in order: duplicates left out, the mix drawn, the held-out answers apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import get_args

from apar.corpus.chunk_store import ChunkStore
from apar.corpus.config import ExtractConfig
from apar.corpus.duplicates import DropAsSeen, Seen
from apar.corpus.report import Report
from apar.corpus.split import Kind, is_kept, shares
from apar.corpus.worker import Dropped, Kept, Row
from apar.data.raw import BrokenRecord
from apar.data.writers import TreesFormat, tree_writer

# What the whole data set says of an answer, a byte each.
_VERDICTS = (None, *get_args(DropAsSeen), "mix")


def merge(
    store: ChunkStore, chunks: int, output: Path, form: TreesFormat, config: ExtractConfig, report: Report
) -> None:
    """Write `trees` and, if any answers are held out, `heldout` into `output`; count everything in `report`."""
    verdicts = iter(_verdicts(store, chunks, config))
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
            elif (drop := _VERDICTS[next(verdicts)]) is not None:
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


def _verdicts(store: ChunkStore, chunks: int, config: ExtractConfig) -> bytearray:
    """For each answer that the filters kept, in order, the index of its verdict."""
    seen = Seen(config.duplicates)
    counts: Counter[Kind] = Counter()
    verdicts = bytearray()
    for row in _kept(store, chunks):
        verdicts.append(_VERDICTS.index(seen.drop_reason(row.signature)))
        if not verdicts[-1] and not row.held_out:
            counts[row.summary.kind] += 1
    keep = shares(counts, config.split)
    if all(share >= 1 for share in keep.values()):
        return verdicts
    for number, row in enumerate(_kept(store, chunks)):
        # What is held out is no part of the mix: it is to be as the data are.
        left_out = not row.held_out and not is_kept(row.id, keep[row.summary.kind], config.split)
        verdicts[number] = verdicts[number] or (_VERDICTS.index("mix") if left_out else 0)
    return verdicts


def _kept(store: ChunkStore, chunks: int) -> Iterator[Kept]:
    for index in range(chunks):
        yield from (row for row in store.rows(index) if isinstance(row, Kept))
