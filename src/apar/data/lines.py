"""Records of JSON arrays and JSON lines files, each with its place; what is broken is told, not raised."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, cast

from apar.errors import UserError

Container = Literal["json", "jsonl"]
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SPACE = re.compile(r"[ \t\r\n]*")
_SEPARATOR = re.compile(r"[ \t\r\n]*,?[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record begins: a file and the number of a line, counted from 1."""

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
    """A JSON object of a file."""

    place: Place
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class BrokenRecord:
    """A line or a record that could not be used, and why."""

    place: Place
    problem: str


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        raw = path.open("rb")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    with raw:
        compressed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if not compressed:
            yield raw
            return
        with gzip.open(raw) as unpacked:
            yield cast(IO[bytes], unpacked)


def detect_container(path: Path) -> Container:
    """Whether a file is a JSON array or JSON lines: an array's first character is "["."""
    with _opened(path) as file:
        try:
            head = file.read(4096)
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(f"cannot read {path}: {_damage(error)}") from error
    return "json" if head.removeprefix(_BYTE_ORDER_MARK).lstrip().startswith(b"[") else "jsonl"


def read_records(path: Path, container: Container) -> Iterator[Record | BrokenRecord]:
    """The records of a file in order. Raises UserError where the file cannot be opened or read."""
    with _opened(path) as file:
        yield from _read_array(path, file) if container == "json" else _read_lines(path, file)


def _read_lines(path: Path, file: IO[bytes]) -> Iterator[Record | BrokenRecord]:
    number = 0
    try:
        # Lines end at "\n" alone: U+2028 and form feeds are ordinary characters of a JSON string.
        for number, line in enumerate(file, 1):
            line = line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
            if line.strip():
                yield _record(Place(path, number), line)
    except (OSError, EOFError, zlib.error) as error:
        yield BrokenRecord(Place(path, number + 1), _damage(error))


def _record(place: Place, line: bytes) -> Record | BrokenRecord:
    try:
        return _as_record(place, json.loads(line.decode("utf-8")))
    except UnicodeDecodeError:
        return BrokenRecord(place, "the line is not UTF-8 text")
    except (ValueError, RecursionError) as error:
        return BrokenRecord(place, _json_problem(error))


def _as_record(place: Place, value: Any) -> Record | BrokenRecord:
    if not isinstance(value, dict):
        return BrokenRecord(place, f"the record is no JSON object but a {type(value).__name__}")
    return Record(place, value)


_NEXT_OBJECT = re.compile(r"\n[ \t]*\{")


def _read_array(path: Path, file: IO[bytes]) -> Iterator[Record | BrokenRecord]:
    """The elements of an array one after the other, so that those before a broken one are kept."""
    try:
        text = file.read().removeprefix(_BYTE_ORDER_MARK).decode("utf-8")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UserError(f"cannot read {path}: line {line} is not UTF-8 text") from error
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"cannot read {path}: {_damage(error)}") from error
    decoder, line = json.JSONDecoder(), 1
    counted, at = 0, _after(_SPACE, text, 0) + 1
    while (at := _after(_SEPARATOR, text, at)) < len(text) and text[at] != "]":
        line, counted = line + text.count("\n", counted, at), at
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            yield BrokenRecord(Place(path, line), _json_problem(error))
            # Go on at the next line that begins an object; what stands before it is part of the broken one.
            found = _NEXT_OBJECT.search(text, at + 1)
            if found is None:
                return
            at = found.end() - 1
            continue
        yield _as_record(Place(path, line), value)
    if at >= len(text):
        yield BrokenRecord(Place(path, text.count("\n") + 1), "the array has no end: the file is cut off")
    elif text[at + 1 :].strip():
        line += text.count("\n", counted, at)
        problem = "more text follows the end of the array; write one array, or a record a line"
        yield BrokenRecord(Place(path, line), problem)


def _after(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at


def _json_problem(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "the JSON is nested too deeply"
    message = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
    return f"not valid JSON: {message}"[:160]


def _damage(error: Exception) -> str:
    if isinstance(error, EOFError | zlib.error | gzip.BadGzipFile):
        return "the compressed file is damaged or cut off"
    return str(getattr(error, "strerror", None) or error)
