"""Files of trees in the form that is wanted: JSON lines, plain or compressed, or Parquet."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal, Protocol, get_args

from apar.data.files import atomic_path
from apar.data.formats import COPIED_KEYS
from apar.data.parquet import ParquetTrees
from apar.extras import require

TreesFormat = Literal["jsonl", "jsonl.gz", "jsonl.zst", "parquet"]
"""How trees are written; also the ending of the file."""

TREES_FORMATS: tuple[TreesFormat, ...] = get_args(TreesFormat)


class TreeWriter(Protocol):
    """Takes records as lines of JSON."""

    def write(self, line: str) -> None:
        """Write one record, given as `TreeRecord.to_json` does, without a line break."""


@contextmanager
def tree_writer(path: Path, form: TreesFormat) -> Iterator[TreeWriter]:
    """A writer of the file `path`, which appears when the block ends without an exception."""
    with atomic_path(path) as temporary:
        if form == "parquet":
            parquet = ParquetTrees(temporary, COPIED_KEYS)
            yield _Rows(parquet)
            parquet.close()
            return
        with _binary(temporary, form) as file:
            yield _Lines(file)


@contextmanager
def _binary(path: Path, form: TreesFormat) -> Iterator[IO[bytes]]:
    with path.open("wb") as raw:
        if form == "jsonl.gz":
            # Without a name and a time in its head, the same lines make the same file.
            with gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as packed:
                yield packed  # type: ignore[misc]
        elif form == "jsonl.zst":
            require("data", "pyarrow")
            import pyarrow

            with pyarrow.CompressedOutputStream(pyarrow.PythonFile(raw, mode="w"), "zstd") as stream:
                yield stream
        else:
            yield raw


class _Lines:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, line: str) -> None:
        self._file.write(line.encode() + b"\n")


class _Rows:
    def __init__(self, parquet: ParquetTrees) -> None:
        self._parquet = parquet

    def write(self, line: str) -> None:
        row = json.loads(line)
        row.setdefault("messages", [{"role": "user", "content": row.get("prompt")}])
        row.setdefault("refusals", [])
        self._parquet.write(row)
