"""Records as the files hold them, each with its place: undecoded, decoded, or broken.

A record may be given as its undecoded line, so that decoding can be done by another process (`decoded`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

Container = Literal["json", "jsonl", "parquet", "dataset"]
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
LONGEST_RECORD = 256 * 2**20
"""Bytes of a line, or characters of an array's record, beyond which it counts as broken."""


@dataclass(frozen=True, slots=True)
class SourceLocation:
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

    location: SourceLocation
    number: int
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class BrokenRecord:
    """A line or a record that could not be used, and why."""

    location: SourceLocation
    problem: str


class Raw(NamedTuple):
    """A record before it is decoded: its line and number, and its bytes, its value, or what is wrong with it."""

    line: int
    number: int
    content: bytes | Any | BrokenRecord


def decoded(path: Path, raw: Raw) -> Record | BrokenRecord:
    """The record of a file that `read_raw` gave undecoded."""
    location, value = SourceLocation(path, raw.line), raw.content
    if isinstance(value, BrokenRecord):
        return value
    if isinstance(value, bytes):
        try:
            value = json.loads(value.decode("utf-8"))
        except UnicodeDecodeError:
            return BrokenRecord(location, "the line is not UTF-8 text")
        except (ValueError, RecursionError) as error:
            return BrokenRecord(location, json_problem(error))
    if not isinstance(value, dict):
        return BrokenRecord(location, f"the record is no JSON object but a {type(value).__name__}")
    return Record(location, raw.number, value)


def json_problem(error: Exception) -> str:
    """What is wrong with a JSON text, in words."""
    if isinstance(error, RecursionError):
        return "the JSON is nested too deeply"
    message = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
    return f"not valid JSON: {message}"[:160]
