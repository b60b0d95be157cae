"""What is done with each answer, in a worker process: a function of the chunk and the configuration alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from apar.corpus.choice import Rating, rate
from apar.corpus.chunks import Chunk
from apar.corpus.config import ExtractConfig
from apar.corpus.duplicates import Signature, signature
from apar.corpus.filters import drop_reason
from apar.corpus.language import language_of
from apar.corpus.split import is_held_out, lot
from apar.corpus.totals import Summary, summarize
from apar.data.formats import Chat, ChatReader
from apar.data.raw import BrokenRecord
from apar.data.records import TreeRecord
from apar.data.token_counter import TokenCounter
from apar.structure.extract import Extraction, extract


class Kept(NamedTuple):
    """An answer with its tree, as the line to be written, and what the merging must know of it."""

    line: str
    id: str
    summary: Summary
    signature: Signature
    held_out: bool
    rating: Rating


class Dropped(NamedTuple):
    """An answer that a filter left out."""

    reason: str
    source: str


Row = Kept | Dropped | BrokenRecord


class Worker:
    """Turns chunks into rows."""

    def __init__(self, config: ExtractConfig, counter: TokenCounter) -> None:
        self.config = config
        self.counter = counter

    def rows(self, chunk: Chunk) -> Iterator[Row]:
        """A row for each answer and each broken record of a chunk, in order."""
        reader = ChatReader(chunk.path, chunk.container, self.config.turns, chunk.format, self.config.map)
        for raw in chunk.raws:
            for found in reader.read(raw):
                yield found if isinstance(found, BrokenRecord) else self.row(found)

    def row(self, chat: Chat) -> Kept | Dropped:
        """What comes of one answer."""
        read = _read(chat, self.config)
        if isinstance(read, str):
            return Dropped(read, chat.source)
        record, found = read
        return Kept(
            record.to_json(),
            record.id,
            summarize(record, self.counter, chat.format),
            signature(chat, self.config.duplicates),
            is_held_out(chat.messages, self.config.split),
            rate(record, found.items, lot("choice", record.id, self.config.split), self.config.choice),
        )


def tree_record(chat: Chat, config: ExtractConfig) -> TreeRecord | str:
    """The record of an answer, with its language if the data does not state it, or why the filters leave it out."""
    read = _read(chat, config)
    return read if isinstance(read, str) else read[0]


def _read(chat: Chat, config: ExtractConfig) -> tuple[TreeRecord, Extraction] | str:
    dropped = drop_reason(chat, config.filters)
    if dropped is not None:
        return dropped
    found = extract(chat.response, config.structure)
    if found.reason in config.filters.skip_reasons:
        return f"reason_{found.reason}"
    record = TreeRecord.of(chat, found)
    return (record if "lang" in record.extra else record.with_extra(lang=language_of(chat.response))), found
