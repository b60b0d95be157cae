"""Files of trees in the form that is wanted: JSON lines, plain or compressed, or Parquet."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal, Protocol, get_args

from apar.data.files import atomic_path
from apar.data.formats import ANSWER_KEYS
from apar.extras import require

TreesFormat = Literal["jsonl", "jsonl.gz", "jsonl.zst", "parquet"]
"""How trees are written; also the ending of the file."""

TREES_FORMATS: tuple[TreesFormat, ...] = get_args(TreesFormat)

_BATCH_ROWS = 512


class TreeWriter(Protocol):
    """Takes records as lines of JSON."""

    def write(self, line: str) -> None:
        """Write one record, given as `TreeRecord.to_json` does, without a line break."""


@contextmanager
def tree_writer(path: Path, form: TreesFormat) -> Iterator[TreeWriter]:
    """A writer of the file `path`, which appears when the block ends without an exception."""
    with atomic_path(path) as temporary:
        if form == "parquet":
            rows = _ParquetRows(temporary)
            yield rows
            rows.close()
            return
        with _binary(temporary, form) as file:
            yield _JsonLines(file)


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


class _JsonLines:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, line: str) -> None:
        self._file.write(line.encode() + b"\n")


class _ParquetRows:
    """Writes records to a Parquet file; the rows of a batch are held."""

    def __init__(self, path: Path) -> None:
        require("data", "pyarrow")
        from pyarrow.parquet import ParquetWriter

        self._schema = _schema(ANSWER_KEYS)
        self._writer = ParquetWriter(path, self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []

    def write(self, line: str) -> None:
        row = json.loads(line)
        row.setdefault("messages", [{"role": "user", "content": row.get("prompt")}])
        row.setdefault("refusals", [])
        # The copied keys may be of any type; they are written as text.
        self._rows.append(row | {key: str(row[key]) for key in ANSWER_KEYS if row.get(key) is not None})
        if len(self._rows) >= _BATCH_ROWS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow

        if self._rows:
            self._writer.write_table(pyarrow.Table.from_pylist(self._rows, schema=self._schema))
        self._rows = []

    def close(self) -> None:
        """Write what is held, and the end of the file."""
        self._flush()
        self._writer.close()


def _schema(columns: tuple[str, ...]) -> Any:
    import pyarrow

    text, number = pyarrow.string(), pyarrow.int64()
    message = pyarrow.struct([("role", text), ("content", text)])
    refusal = pyarrow.struct([("start", number), ("end", number), ("reason", text)])
    return pyarrow.schema(
        [
            ("id", text),
            ("source", text),
            *((column, text) for column in columns),
            ("messages", pyarrow.list_(message)),
            ("response", text),
            ("rule", text),
            ("reason", text),
            ("forks", pyarrow.list_(pyarrow.list_(number))),
            ("refusals", pyarrow.list_(refusal)),
        ]
    )
