"""A whole extraction: sources to trees, report and data card, over several processes, resumable."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from apar.corpus.chunk_store import ChunkStore
from apar.corpus.chunks import MAX_BYTES, MAX_RECORDS, Chunk, Source, check, chunks, describe
from apar.corpus.config import ExtractConfig
from apar.corpus.dataset_card import card_text
from apar.corpus.filters import questions_of
from apar.corpus.merge import merge
from apar.corpus.pool import Job, run_chunks
from apar.corpus.report import Report
from apar.data.files import atomic_write
from apar.data.token_counter import load_counter, word_counter
from apar.data.writers import TreesFormat


class Progress(NamedTuple):
    """How far a run is, in chunks and records; `resumed` chunks were done by an earlier run."""

    chunks: int
    records: int
    resumed: int


class ExtractionRun(NamedTuple):
    """An extraction into the folder `output`."""

    sources: Sequence[Source]
    output: Path
    config: ExtractConfig
    form: TreesFormat = "jsonl"
    tokenizer: Path | None = None
    processes: int = 1
    restart: bool = False

    @property
    def trees(self) -> Path:
        """The file of trees."""
        return self.output / f"trees.{self.form}"

    def run(self, on_progress: Callable[[Progress], None] = lambda progress: None) -> dict[str, Any]:
        """Do it, or what an interrupted run of the same command left to do; returns the report.

        Raises UserError where a source cannot be read or the folder holds another unfinished run, RunError
        where a worker process dies or the disk is full.
        """
        counter = load_counter(self.tokenizer) if self.tokenizer else word_counter()
        check(self.sources, self.config.turns, self.config.map)
        questions_of(self.config.filters.skip_prompts)
        store = ChunkStore(self.output / ".work")
        resumed = store.begin(self._manifest(), self.restart)
        count = self._extract(store, resumed, on_progress)
        report = Report(counter.name)
        for source in self.sources:
            report.open_file(source.path)
        merge(store, count, self.output, self.form, self.config, report)
        data = {**report.to_dict(), "config": self.config.model_dump(mode="json"), "version": version("apar-llm")}
        self.write_report(data)
        store.remove()
        return data

    def write_report(self, data: dict[str, Any]) -> None:
        """Write `report.json` and the data card, `card.md`."""
        with atomic_write(self.output / "report.json") as file:
            file.write(json.dumps(data, ensure_ascii=False, indent=2) + "\n")
        with atomic_write(self.output / "card.md") as file:
            file.write(card_text(data, self.config))

    def _manifest(self) -> dict[str, Any]:
        return {
            "inputs": [describe(source) for source in (*self.sources, *map(Source, self.config.filters.skip_prompts))],
            "configuration": self.config.model_dump(mode="json"),
            "tokenizer": str(self.tokenizer.resolve()) if self.tokenizer else None,
            "version": [version("apar-llm"), MAX_RECORDS, MAX_BYTES],
        }

    def _extract(self, store: ChunkStore, resumed: int, on_progress: Callable[[Progress], None]) -> int:
        """Do the chunks that are not done; how many there are in all."""
        count = records = done = 0

        def left() -> Iterator[Chunk]:
            nonlocal count
            for chunk in chunks(self.sources, self.config.turns, self.config.map):
                count = chunk.number + 1
                if not store.has(chunk.number):
                    yield chunk

        if resumed:
            on_progress(Progress(resumed, 0, resumed))
        for read in run_chunks(left(), Job(self.config, self.tokenizer, store.folder), self.processes):
            records, done = records + read, done + 1
            on_progress(Progress(resumed + done, records, resumed))
        return count
