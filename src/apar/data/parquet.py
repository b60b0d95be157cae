"""The rows of Parquet files as records, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from apar.data.raw import Raw
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
