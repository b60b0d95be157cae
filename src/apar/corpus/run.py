"""Whole files of chats to `trees.jsonl`, one answer at a time: memory does not grow with the data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from apar.corpus.report import FileCounts, Report
from apar.data.formats import Chat, read_chats
from apar.data.lines import BrokenRecord
from apar.data.records import TreeRecord
from apar.structure.config import DEFAULT, StructureConfig
from apar.structure.extract import extract


def extract_files(
    paths: Iterable[Path], trees: TextIO, report: Report, config: StructureConfig = DEFAULT
) -> Iterator[Chat | BrokenRecord]:
    """Write the records of all answers to `trees` and count them in `report`.

    Yields each chat or broken record when it is done. Raises UserError as `read_chats` does.
    """
    for path in paths:
        counts = report.open_file(path)
        for found in read_chats(path):
            if isinstance(found, Chat):
                _extract_chat(found, trees, report, counts, config)
            else:
                report.add_broken(found, counts)
            yield found


def _extract_chat(chat: Chat, trees: TextIO, report: Report, counts: FileCounts, config: StructureConfig) -> None:
    counts.format = chat.format
    extraction = extract(chat.response, config)
    if extraction.reason == "empty":
        report.add_empty(counts)
        return
    record = TreeRecord.of(chat, extraction)
    trees.write(record.to_json() + "\n")
    report.add(record, counts)
