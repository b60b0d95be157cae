"""Input files cut into chunks of records: the pieces of work of a run, the same ones in every run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from apar.data.formats import ChatReader, Turns
from apar.data.forms.field_map import FieldMap
from apar.data.raw import Container, Raw
from apar.data.read import read_raw
from apar.errors import UserError

MAX_RECORDS = 500
MAX_BYTES = 4 * 2**20
# A file none of whose first records fits a format is refused before all of it is read.
_RECORDS_TO_KNOW_THE_FORMAT = 1000


class Source(NamedTuple):
    """Where chats come from: a file, or a Hugging Face data set by its name and split."""

    path: Path
    split: str | None = None


class Chunk(NamedTuple):
    """Some records of one source, undecoded, and the format of the source."""

    number: int
    path: Path
    container: Container
    format: str | None
    raws: list[Raw]


def chunks(sources: Sequence[Source], turns: Turns, fields: FieldMap | None = None) -> Iterator[Chunk]:
    """The chunks of all sources in order. Raises UserError where a source cannot be read or fits no format."""
    found = (chunk for source in sources for chunk in _of_source(source, turns, fields))
    return (chunk._replace(number=number) for number, chunk in enumerate(found))


def check(sources: Sequence[Source], turns: Turns, fields: FieldMap | None = None) -> None:
    """Raise UserError if a source cannot be read or its first records fit no format, before any work is done.

    A pipe can be read only once: its mistakes come out later.
    """
    for source in sources:
        if source.split is not None or source.path.is_file() or not source.path.exists():
            container, raws = _raws(source)
            _known_format(ChatReader(source.path, container, turns, fields=fields), raws)


def _known_format(reader: ChatReader, raws: Iterator[Raw]) -> list[Raw]:
    """Read until the format is known; the records that were read for it."""
    read: list[Raw] = []
    for raw in raws:
        read.append(raw)
        reader.read(raw)
        if reader.format is not None:
            return read
        if len(read) >= _RECORDS_TO_KNOW_THE_FORMAT:
            break
    reader.check()
    return read


def _of_source(source: Source, turns: Turns, fields: FieldMap | None) -> Iterator[Chunk]:
    container, raws = _raws(source)
    reader = ChatReader(source.path, container, turns, fields=fields)
    held: list[Raw] = []
    size = 0
    for raw in chain(_known_format(reader, raws), raws):
        held.append(raw)
        size += _size(raw.content)
        if len(held) >= MAX_RECORDS or size >= MAX_BYTES:
            yield Chunk(0, source.path, container, reader.format, held)
            held, size = [], 0
    if held:
        yield Chunk(0, source.path, container, reader.format, held)


def _raws(source: Source) -> tuple[Container, Iterator[Raw]]:
    if source.split is None:
        return read_raw(source.path)
    from apar.data.hf_datasets import read_dataset

    return "dataset", read_dataset(str(source.path), source.split)


def _size(content: bytes | Any) -> int:
    """Bytes of an undecoded line; what is decoded already counts by its longest text."""
    if isinstance(content, bytes):
        return len(content)
    if isinstance(content, dict):
        return 256 + sum(len(value) if isinstance(value, str) else 1024 for value in content.values())
    return 256


def describe(source: Source) -> dict[str, Any]:
    """What tells whether a source is the one it was: path, size and time of change."""
    if source.split is not None:
        return {"dataset": str(source.path), "split": source.split}
    try:
        known = source.path.stat()
    except OSError as error:
        raise UserError(f"cannot read {source.path}: {error.strerror}") from error
    if not source.path.is_file():
        return {"pipe": str(source.path)}
    return {"file": str(source.path.resolve()), "bytes": known.st_size, "changed": known.st_mtime_ns}
