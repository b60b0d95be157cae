"""Extraction as a function over batches of rows, for engines that run it on many machines.

dataset.map(extract_rows, batched=True, remove_columns=dataset.column_names)          # datasets
ray.data.read_parquet(...).map_batches(extract_rows, batch_format="pyarrow")          # Ray Data, see recipes
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from apar.corpus.config import ExtractConfig
from apar.corpus.worker import tree_record
from apar.data.formats import ANSWER_KEYS, Chat, ChatReader
from apar.data.raw import Raw
from apar.data.records import TreeRecord

_NO_FILE = Path("rows")


def extract_rows(batch: Mapping[str, Sequence[Any]], config: ExtractConfig | None = None) -> dict[str, list[Any]]:
    """The tree records of a batch of chats, both as columns.

    It can be given to `datasets.Dataset.map`, or to any engine that hands over columns. The rows have the columns
    of a format that `apar extract` reads; the result has those of its Parquet files. What a row gives depends
    on that row alone. Answers that the filters leave out and rows that hold no chat give nothing; duplicates
    are not looked for, as that would need all rows, and what is held out is not parted:
    `apar.corpus.split.is_held_out` says it of a record's messages.
    """
    config = config or ExtractConfig()
    found = (tree_record(chat, config) for chat in _chats(batch, config))
    records = [record.to_dict() for record in found if isinstance(record, TreeRecord)]
    keys = ("id", "source", *ANSWER_KEYS, "messages", "response", "rule", "reason", "forks", "refusals")
    return {key: [record.get(key) for record in records] for key in keys}


def _chats(batch: Mapping[str, Sequence[Any]], config: ExtractConfig) -> Iterator[Chat]:
    columns = list(batch)
    for number, values in enumerate(zip(*(batch[column] for column in columns), strict=True), 1):
        row = {column: value for column, value in zip(columns, values, strict=True) if value is not None}
        reader = ChatReader(_NO_FILE, "dataset", config.turns, fields=config.map)
        row.setdefault("id", _content_id(row))
        yield from (found for found in reader.read(Raw(number, number, row)) if isinstance(found, Chat))


def _content_id(row: Mapping[str, Any]) -> str:
    """An id that is the same on whatever machine and in whatever batch a row comes."""
    return hashlib.blake2b(repr(sorted(row.items())).encode("utf-8", "replace"), digest_size=8).hexdigest()
