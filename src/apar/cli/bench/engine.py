"""The engine that a benchmark replays answers with: ours in this process, llama.cpp, or a vLLM."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from apar.errors import UserError

if TYPE_CHECKING:
    from apar.bench.answers import BenchAnswer
    from apar.bench.llama_replay import LlamaBenchModel
    from apar.bench.model import BenchModel
    from apar.bench.replay import ReplayEngine
    from apar.cli.options.backend import BackendChoice
    from apar.scheduling.core import EngineCore
    from apar.tokens import ControlTokens

VLLM, LLAMA = "vllm", "llama-cpp"


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


def load_llama_model(choice: BackendChoice, options: Mapping[str, Any]) -> LlamaBenchModel:
    """The GGUF file that llama.cpp is measured with. Raises UserError for options of our own engine."""
    from apar.backends.llama_cpp.options import parse_options
    from apar.backends.llama_cpp.versions import require_llama_cpp
    from apar.models.gguf_file import plain_gguf

    refused = {"--shape": options["shape"], "--tokenizer": options["tokenizer"], "--peers": options.get("peers")}
    refused |= {f"--{name}": options[name] for name in ("dtype", "device") if options[name] != "auto"}
    for name, value in refused.items():
        if value:
            raise UserError(f"{name} does not go with llama.cpp, whose options are --llama.NAME: add --backend local")
    file = plain_gguf(options["model"])
    require_llama_cpp()
    from apar.bench.llama_replay import LlamaBenchModel

    given = parse_options(choice.llama_words)
    if options["cpu_threads"]:
        raise UserError("--cpu-threads is of PyTorch; give llama.cpp's by --llama.n-threads")
    return LlamaBenchModel.load(file, given)


@contextmanager
def open_engine(
    bench_model: BenchModel | LlamaBenchModel, choice: BackendChoice, options: Mapping[str, Any]
) -> Iterator[ReplayEngine]:
    """The chosen engine with the answers of the options; it is closed at the end."""
    answers = read_trees(options["replay"], options["questions"], options["only"], options["count"])
    make = {VLLM: _vllm, LLAMA: _llama}.get(choice.backend, _local)
    with make(bench_model, answers, choice, options) as engine:
        if engine.left_out:
            click.echo(f"apar: {engine.left_out} answers are longer than the context and are left out", err=True)
        yield engine


def step_engine(
    bench_model: BenchModel | LlamaBenchModel, choice: BackendChoice, control: ControlTokens, rows: int
) -> EngineCore:
    """An engine for so many rows, ours or that over llama.cpp."""
    if choice.backend == LLAMA:
        from apar.backends.llama_cpp.options import Settings, parse_options
        from apar.bench.llama_replay import LlamaBenchModel

        assert isinstance(bench_model, LlamaBenchModel)
        _, engine = bench_model.engine(control, Settings(rows, parse_options(choice.llama_words)), None)
        return engine
    from apar.bench.model import BenchModel

    assert isinstance(bench_model, BenchModel)
    return bench_model.engine(control, None, rows)


def read_trees(trees: Path, questions: Path | None, only: tuple[str, ...], count: int | None) -> list[BenchAnswer]:
    """The answers of a file; raises UserError for a file that has none."""
    from apar.bench.answers import parse_only, read_answers

    return read_answers(trees, questions, parse_only(only), count)


@contextmanager
def _local(
    bench_model: Any, answers: Sequence[BenchAnswer], choice: BackendChoice, options: Mapping[str, Any]
) -> Iterator[ReplayEngine]:
    from apar.bench.local_replay import LocalReplay

    yield LocalReplay(bench_model, answers, options["num_blocks"], options["max_rows"])


@contextmanager
def _llama(
    bench_model: Any, answers: Sequence[BenchAnswer], choice: BackendChoice, options: Mapping[str, Any]
) -> Iterator[ReplayEngine]:
    from apar.backends.llama_cpp.engine import BLOCK_SIZE
    from apar.backends.llama_cpp.options import Settings, parse_options
    from apar.bench.llama_replay import LlamaReplay

    cells = None if options["num_blocks"] is None else options["num_blocks"] * BLOCK_SIZE
    settings = Settings(options["max_rows"], parse_options(choice.llama_words))
    with closing(LlamaReplay(bench_model, answers, settings, cells)) as engine:
        yield engine


@contextmanager
def _vllm(
    bench_model: Any, answers: Sequence[BenchAnswer], choice: BackendChoice, options: Mapping[str, Any]
) -> Iterator[ReplayEngine]:
    from apar.bench.vllm.engine_setup import EngineSetup
    from apar.bench.vllm.replay import VllmReplay

    setup = EngineSetup(
        options["model"], options["num_blocks"], options["max_rows"], choice.fork_way, choice.arguments({})
    )
    with VllmReplay.of(bench_model, answers, setup) as engine:
        yield engine
