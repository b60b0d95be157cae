"""Reading the records of a file: JSON lines, a JSON array, JSON objects over many lines, or Parquet.

What is broken is reported as a record, not raised. Reading takes the memory of one record, whatever the size of the
file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from apar.data.compression import DAMAGES, damage, opened
from apar.data.json_array import read_values
from apar.data.jsonl import read_lines
from apar.data.parquet import read_rows
from apar.data.raw import BYTE_ORDER_MARK, BrokenRecord, Container, Raw, Record, decoded
from apar.errors import UserError

_PARQUET = b"PAR1"
# The first line of an object that is written over many lines.
_PRETTY = (b"{", b"[", b",", b":")


def read_records(path: Path) -> Iterator[Record | BrokenRecord]:
    """The records of a file in order. Raises UserError where the file cannot be opened or read."""
    _, raws = read_raw(path)
    return (decoded(path, raw) for raw in raws)


def read_raw(path: Path) -> tuple[Container, Iterator[Raw]]:
    """How a file holds its records, and the records undecoded. Raises UserError as `read_records` does."""
    container = detect_container(path)
    return container, read_rows(path) if container == "parquet" else _read_json(path, container)


def detect_container(path: Path) -> Container:
    """What a file is, told by its first bytes; a pipe is not read for it, and must hold JSON lines."""
    if not path.is_file() and path.exists() and not path.is_dir():
        return "jsonl"
    with opened(path) as file:
        try:
            head = file.read(4096).removeprefix(BYTE_ORDER_MARK)
        except DAMAGES as error:
            raise UserError(f"cannot read {path}: {damage(error)}") from error
    if head.startswith(_PARQUET):
        return "parquet"
    first = head.lstrip().split(b"\n", 1)[0].rstrip()
    pretty = first.startswith(b"{") and first.endswith(_PRETTY)
    return "json" if first.startswith(b"[") or pretty else "jsonl"


def _read_json(path: Path, container: Container) -> Iterator[Raw]:
    with opened(path) as file:
        yield from (read_values if container == "json" else read_lines)(path, file)
