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
    from apar.bench.replay import Player
    from apar.bench.target import Target
    from apar.cli.backend_options import Choice

VLLM = "vllm"


def check_backend(choice: Choice, options: Mapping[str, Any]) -> None:
    """Raise UserError for options that do not go with the engine that was chosen."""
    if choice.backend != VLLM:
        return
    refused = {
        "--url": (choice.url, "a vLLM is measured in which nothing else runs, and tells given answers"),
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


def loading_of(choice: Choice, options: Mapping[str, Any]) -> tuple[str, str]:
    """The type and the device of the target's weights: vLLM loads its own, and random ones it gets in 16 bits."""
    dtype, device = options["dtype"], options["device"]
    if choice.backend != VLLM:
        return dtype, device
    return ("bfloat16" if dtype == "auto" and options["shape"] else dtype), "cpu"


@contextmanager
def open_player(target: Target, choice: Choice, options: Mapping[str, Any]) -> Iterator[Player]:
    """The chosen engine with the answers of the options; it is closed at the end."""
    answers = read_trees(options["replay"], options["questions"], options["only"], options["count"])
    make = _vllm if choice.backend == VLLM else _local
    with make(target, answers, choice, options) as player:
        if player.left_out:
            click.echo(f"apar: {player.left_out} answers are longer than the context and are left out", err=True)
        yield player


def read_trees(trees: Path, questions: Path | None, only: tuple[str, ...], count: int | None) -> list[BenchAnswer]:
    """The answers of a file; raises UserError for a file that has none."""
    from apar.bench.answers import parse_only, read_answers

    return read_answers(trees, questions, parse_only(only), count)


@contextmanager
def _local(
    target: Target, answers: Sequence[BenchAnswer], choice: Choice, options: Mapping[str, Any]
) -> Iterator[Player]:
    from apar.bench.local import LocalPlayer

    yield LocalPlayer(target, answers, options["kv_blocks"], options["max_rows"])


@contextmanager
def _vllm(
    target: Target, answers: Sequence[BenchAnswer], choice: Choice, options: Mapping[str, Any]
) -> Iterator[Player]:
    from apar.bench.vllm_plan import VllmPlan
    from apar.bench.vllm_player import VllmPlayer

    plan = VllmPlan(options["model"], options["kv_blocks"], options["max_rows"], choice.fork, choice.arguments({}))
    with VllmPlayer(target, answers, plan) as player:
        yield player
