"""Records of JSON lines, JSON arrays and Parquet files, each with its place; what is broken is told, not raised.

Reading takes the memory of one record, whatever the size of the file. A record may be given as its undecoded
line, so that decoding can be done by another process (`decoded`).
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from apar.data.streams import DAMAGES, damage, opened
from apar.errors import UserError

Container = Literal["json", "jsonl", "parquet", "dataset"]
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
LONGEST_RECORD = 256 * 2**20
"""Bytes of a line, or characters of an array's record, beyond which it counts as broken."""
_PARQUET = b"PAR1"
# The first line of an object that is written over many lines.
_PRETTY = (b"{", b"[", b",", b":")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record begins: a file and the number of a line (in Parquet: of a row), counted from 1."""

    file: Path
    line: int

    @property
    def stem(self) -> str:
        """The file's name without its endings."""
        return self.file.name.split(".", 1)[0] or self.file.name

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}"


@dataclass(frozen=True, slots=True)
class Record:
    """A JSON object of a file, the `number`-th of its records, counted from 1."""

    place: Place
    number: int
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class BrokenRecord:
    """A line or a record that could not be used, and why."""

    place: Place
    problem: str


class Raw(NamedTuple):
    """A record before it is decoded: its line and number, and its bytes, its value, or what is wrong with it."""

    line: int
    number: int
    content: bytes | Any | BrokenRecord


def read_records(path: Path) -> Iterator[Record | BrokenRecord]:
    """The records of a file in order. Raises UserError where the file cannot be opened or read."""
    _, raws = read_raw(path)
    return (decoded(path, raw) for raw in raws)


def read_raw(path: Path) -> tuple[Container, Iterator[Raw]]:
    """How a file holds its records, and the records undecoded. Raises UserError as `read_records` does."""
    container = detect_container(path)
    if container == "parquet":
        from apar.data.parquet import read_rows

        return container, read_rows(path)
    return container, _read(path, container)


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


def _read(path: Path, container: Container) -> Iterator[Raw]:
    with opened(path) as file:
        if container == "json":
            from apar.data.arrays import read_values

            yield from read_values(path, file)
        else:
            yield from _read_lines(path, file)


def decoded(path: Path, raw: Raw) -> Record | BrokenRecord:
    """The record of a file that `read_raw` gave undecoded."""
    place, value = Place(path, raw.line), raw.content
    if isinstance(value, BrokenRecord):
        return value
    if isinstance(value, bytes):
        try:
            value = json.loads(value.decode("utf-8"))
        except UnicodeDecodeError:
            return BrokenRecord(place, "the line is not UTF-8 text")
        except (ValueError, RecursionError) as error:
            return BrokenRecord(place, json_problem(error))
    if not isinstance(value, dict):
        return BrokenRecord(place, f"the record is no JSON object but a {type(value).__name__}")
    return Record(place, raw.number, value)


def _read_lines(path: Path, file: io.BufferedReader) -> Iterator[Raw]:
    line = number = 0
    try:
        # Lines end at "\n" alone: U+2028 and form feeds are ordinary characters of a JSON string.
        while content := file.readline(LONGEST_RECORD):
            line += 1
            content = content.removeprefix(BYTE_ORDER_MARK) if line == 1 else content
            if not content.strip():
                continue
            number += 1
            if len(content) >= LONGEST_RECORD and not content.endswith(b"\n"):
                _skip_line(file)
                problem = f"the line is longer than {LONGEST_RECORD >> 20} MiB"
                yield Raw(line, number, BrokenRecord(Place(path, line), problem))
            else:
                yield Raw(line, number, content)
    except DAMAGES as error:
        yield Raw(line + 1, number + 1, BrokenRecord(Place(path, line + 1), damage(error)))


def _skip_line(file: io.BufferedReader) -> None:
    while (piece := file.readline(2**20)) and not piece.endswith(b"\n"):
        pass


def json_problem(error: Exception) -> str:
    """What is wrong with a JSON text, in words."""
    if isinstance(error, RecursionError):
        return "the JSON is nested too deeply"
    message = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
    return f"not valid JSON: {message}"[:160]
