"""Parquet files as records, and records as Parquet files, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from apar.data.lines import Raw
from apar.errors import UserError
from apar.extras import require

_ROWS = 512


def read_rows(path: Path) -> Iterator[Raw]:
    """The rows of a file in order. Raises UserError where it is no Parquet file or is damaged."""
    require("data", "pyarrow")
    import pyarrow
    from pyarrow.parquet import ParquetFile

    number = 0
    try:
        with ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_ROWS):
                for row in batch.to_pylist():
                    number += 1
                    yield Raw(number, number, _without_nulls(row))
    except (pyarrow.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"cannot read {path} as Parquet: {reason}") from error


def _without_nulls(row: dict[str, Any]) -> dict[str, Any]:
    """A row without the columns that are null in it: a Parquet file has every column in every row."""
    return {key: value for key, value in row.items() if value is not None}


class ParquetTrees:
    """Writes tree records to a Parquet file; the rows of a batch are held."""

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        """`columns` are the extra keys that the records may have; they are written as text."""
        require("data", "pyarrow")
        from pyarrow.parquet import ParquetWriter

        self._columns = columns
        self._schema = _schema(columns)
        self._writer = ParquetWriter(path, self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []

    def write(self, row: dict[str, Any]) -> None:
        """Write a record as `TreeRecord.to_dict` gives it."""
        extra = {key: None if row.get(key) is None else str(row[key]) for key in self._columns}
        self._rows.append({**row, **extra})
        if len(self._rows) >= _ROWS:
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
