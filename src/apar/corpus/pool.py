"""Chunks given to worker processes, a bounded number at a time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for_any
from pathlib import Path
from typing import NamedTuple

from apar.corpus.chunk_store import ChunkStore
from apar.corpus.chunks import Chunk
from apar.corpus.config import ExtractConfig
from apar.corpus.worker import Worker
from apar.data.token_counter import load_counter, word_counter
from apar.errors import RunError

_CHUNKS_A_PROCESS = 3


class Job(NamedTuple):
    """What a worker process needs to know."""

    config: ExtractConfig
    tokenizer: Path | None
    folder: Path

    def worker(self) -> Worker:
        return Worker(self.config, load_counter(self.tokenizer) if self.tokenizer else word_counter())


def available_processes() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_chunks(chunks: Iterable[Chunk], job: Job, processes: int) -> Iterator[int]:
    """Do the chunks and put their rows into the chunk store; yields the records of each when it is done.

    Raises RunError where a worker process dies; what is done by then stays done.
    """
    if processes == 1:
        worker, store = job.worker(), ChunkStore(job.folder)
        for chunk in chunks:
            store.put(chunk.number, list(worker.rows(chunk)))
            yield len(chunk.raws)
        return
    # A fresh interpreter for each process: nothing of this one's threads is copied in a half-made state.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, _start, (job,)) as pool:
        try:
            yield from _run(pool, chunks, _CHUNKS_A_PROCESS * processes)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _run(pool: ProcessPoolExecutor, chunks: Iterable[Chunk], at_once: int) -> Iterator[int]:
    running: dict[Future[int], Chunk] = {}
    for chunk in chunks:
        if len(running) >= at_once:
            yield from _finished(running)
        running[pool.submit(_work, chunk)] = chunk
    while running:
        yield from _finished(running)


def _finished(running: dict[Future[int], Chunk]) -> Iterator[int]:
    """Wait for a chunk, and take all that are done."""
    for future in wait(running, return_when=FIRST_COMPLETED).done:
        chunk = running.pop(future)
        try:
            yield future.result()
        except BrokenProcessPool as error:
            raise RunError(
                f"a worker process died while it read {chunk.path} from line {chunk.raws[0].line} on, perhaps for "
                "want of memory; what is done is kept, the same command goes on from there (try fewer --processes)"
            ) from error


_of_this_process: tuple[Worker, ChunkStore] | None = None


def _start(job: Job) -> None:
    """What a worker process does first. Ctrl-C is the main process's affair."""
    global _of_this_process
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _of_this_process = job.worker(), ChunkStore(job.folder)


def _end_with_parent() -> None:
    """A run that is killed takes its workers with it, so that none writes beside the run that goes on."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for_any([parent.sentinel])
        os._exit(1)


def _work(chunk: Chunk) -> int:
    assert _of_this_process is not None
    worker, store = _of_this_process
    store.put(chunk.number, list(worker.rows(chunk)))
    return len(chunk.raws)
