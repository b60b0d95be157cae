"""The engine that a benchmark replays answers with: ours in this process, or a vLLM."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from apar.errors import UserError

if TYPE_CHECKING:
    from apar.bench.answers import BenchAnswer
    from apar.bench.model import BenchModel
    from apar.bench.replay import ReplayEngine
    from apar.cli.options.backend import BackendChoice

VLLM = "vllm"


def check_backend(choice: BackendChoice, options: Mapping[str, Any]) -> None:
    """Raise UserError for options that do not go with the engine that was chosen."""
    if choice.backend != VLLM:
        return
    refused = {
        "--url": (choice.url, "a vLLM is measured in which nothing else runs, and which is given its answers"),
        "--peers": (options.get("peers"), "other engines are compared with ours: leave out --backend vllm"),
        "--cpu-threads": (options.get("cpu_threads"), "vLLM's threads are set by VLLM_CPU_OMP_THREADS_BIND"),
    }
    for name, (value, reason) in refused.items():
        if value:
            raise UserError(f"{name} does not go with --backend vllm: {reason}")
    from apar.backends.vllm.versions import require_vllm

    require_vllm()
    # vLLM writes a page of lines while it starts; what goes wrong is still told.
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")


def loading_of(choice: BackendChoice, options: Mapping[str, Any]) -> tuple[str, str]:
    """The type and the device of the bench_model's weights: vLLM loads its own, and random ones it gets in 16 bits."""
    dtype, device = options["dtype"], options["device"]
    if choice.backend != VLLM:
        return dtype, device
    return ("bfloat16" if dtype == "auto" and options["shape"] else dtype), "cpu"


@contextmanager
def open_engine(bench_model: BenchModel, choice: BackendChoice, options: Mapping[str, Any]) -> Iterator[ReplayEngine]:
    """The chosen engine with the answers of the options; it is closed at the end."""
    answers = read_trees(options["replay"], options["questions"], options["only"], options["count"])
    make = _vllm if choice.backend == VLLM else _local
    with make(bench_model, answers, choice, options) as engine:
        if engine.left_out:
            click.echo(f"apar: {engine.left_out} answers are longer than the context and are left out", err=True)
        yield engine


def read_trees(trees: Path, questions: Path | None, only: tuple[str, ...], count: int | None) -> list[BenchAnswer]:
    """The answers of a file; raises UserError for a file that has none."""
    from apar.bench.answers import parse_only, read_answers

    return read_answers(trees, questions, parse_only(only), count)


@contextmanager
def _local(
    bench_model: BenchModel, answers: Sequence[BenchAnswer], choice: BackendChoice, options: Mapping[str, Any]
) -> Iterator[ReplayEngine]:
    from apar.bench.local_replay import LocalReplay

    yield LocalReplay(bench_model, answers, options["num_blocks"], options["max_rows"])


@contextmanager
def _vllm(
    bench_model: BenchModel, answers: Sequence[BenchAnswer], choice: BackendChoice, options: Mapping[str, Any]
) -> Iterator[ReplayEngine]:
    from apar.bench.vllm.engine_setup import EngineSetup
    from apar.bench.vllm.replay import VllmReplay

    setup = EngineSetup(
        options["model"], options["num_blocks"], options["max_rows"], choice.fork_way, choice.arguments({})
    )
    with VllmReplay.of(bench_model, answers, setup) as engine:
        yield engine
