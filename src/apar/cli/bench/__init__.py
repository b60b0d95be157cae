"""`apar bench`: what forking saves on real answers, and what the engine costs beside others."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from apar.cli.bench.engine import (
    LLAMA,
    VLLM,
    check_backend,
    load_llama_model,
    loading_of,
    open_engine,
    read_trees,
    step_engine,
)
from apar.cli.options import count_option
from apar.cli.options.backend import BackendChoice, BackendCommand, backend_options, resolve_backend
from apar.cli.options.bench import (
    PATH,
    drafts_options,
    json_option,
    model_options,
    numbers,
    peer_options,
    policies_options,
    replay_options,
    row_limits,
    tokenizer_option,
    tree_options,
)
from apar.errors import UserError

if TYPE_CHECKING:
    from apar.bench.decode import DecodeReport
    from apar.bench.model import BenchModel
    from apar.bench.replay import Mode
    from apar.bench.side_by_side import CategoryFigures, SideBySide


@click.group("bench")
def command() -> None:
    """Measure what forking saves on the trees of real answers, and the engine beside others.

    Every comparison is made in one run, in rounds that take turns. The last line of the output is the result as
    one line of JSON; --json FILE has every answer's figures too.
    """


@command.command("structure")
@click.argument("trees", type=PATH)
@click.option(
    "--rows", default="1,2,4,8,16,inf", show_default=True, callback=row_limits, help="Limits of parallel rows."
)
@tokenizer_option("by words")
@tree_options
@json_option
def structure(
    trees: Path,
    rows: tuple[int | None, ...],
    tokenizer: Path | None,
    questions: Path | None,
    only: tuple[str, ...],
    count: int | None,
    json_file: Path | None,
) -> None:
    """What the structure of the answers in TREES allows; no model is needed.

    Steps, critical path, attended tokens, cache held, and the bound on the speed-up for a number of parallel
    rows: no engine that runs so many threads in a pass is faster. Prompts are not counted.
    """
    from apar.bench.structure import structure_by_category
    from apar.cli.bench.output import print_structure
    from apar.data.token_counter import load_counter, word_counter

    answers = read_trees(trees, questions, only, count)
    counter = word_counter() if tokenizer is None else load_counter(tokenizer)
    by_category = structure_by_category(answers, counter.count, rows)
    print_structure(by_category)
    _finish({"bench": "structure", "tokenizer": counter.name, "categories": _plain(by_category)}, [], json_file)


@command.command("latency", cls=BackendCommand)
@model_options
@replay_options
@count_option("--rounds", help="Times that each answer is decoded.", default=1)
@peer_options
@click.option("--batch", default="1", show_default=True, callback=numbers, help="Batch sizes for --peers.")
@json_option
def latency(choice: BackendChoice, **options: Any) -> None:
    """Batch 1: every answer of TREES decoded sequentially and forked, in turn.

    MODEL is a folder, a hub id or `demo`; with --shape the weights are random. Without --replay, or with --peers,
    sequential decoding of prompts of one length is timed, ours against other engines, batch by batch.
    """
    choice = _measured_by(choice, options)
    if choice.backend in (VLLM, LLAMA) and not options["replay"]:
        name = "vLLM" if choice.backend == VLLM else "llama.cpp"
        raise UserError(f"{name} is measured on given answers: name them by --replay TREES, written by `apar extract`")
    bench_model, result = _begin("latency", options, choice)
    if options["peers"] or not options["replay"]:
        result["decode"] = _decode(bench_model, options, options["batch"])
    found = _latency(bench_model, options, choice, result) if options["replay"] else []
    _finish(result, found, options["json_file"])


def _latency(
    bench_model: BenchModel, options: dict[str, Any], choice: BackendChoice, result: dict[str, Any]
) -> list[Any]:
    """Replay one answer at a time; add the figures to `result` and return those of each answer."""
    from apar.bench.latency import latency_by_category, replay_latency
    from apar.cli.bench.output import print_latency, progress

    with open_engine(bench_model, choice, options) as engine:
        with progress(options["rounds"] * len(engine.answers)) as report:
            found = replay_latency(engine, options["rounds"], report)
        by_category = latency_by_category(found)
    print_latency(by_category)
    result |= {"engine": engine.facts(), "left_out": engine.left_out, "categories": _plain(by_category)}
    return [asdict(one) for one in found]


@command.command("throughput", cls=BackendCommand)
@model_options
@replay_options
@count_option("--concurrency", help="Answers decoded at a time.  [default: all]")
@count_option("--forked-concurrency", help="Answers decoded at a time with forking.  [default: as --concurrency]")
@count_option("--rounds", help="Times that all answers are decoded.", default=3)
@peer_options
@json_option
def throughput(choice: BackendChoice, **options: Any) -> None:
    """Many answers at once, sequentially and forked, in turn: with so many --concurrency, or so many --num-blocks.

    With --peers, sequential decoding in batches of the concurrency is timed too, ours against other engines.
    """
    if not (options["replay"] or options["peers"]):
        raise UserError("give the answers to decode: --replay TREES, written by `apar extract`")
    choice = _measured_by(choice, options)
    bench_model, result = _begin("throughput", options, choice)
    if options["peers"]:
        result["decode"] = _decode(bench_model, options, (options["concurrency"] or 8,))
    found = _throughput(bench_model, options, choice, result) if options["replay"] else []
    _finish(result, found, options["json_file"])


def _throughput(
    bench_model: BenchModel, options: dict[str, Any], choice: BackendChoice, result: dict[str, Any]
) -> list[Any]:
    """Replay all answers at once; add the figures to `result` and return those of each round."""
    from apar.bench.throughput import latency_under_load, replay_throughput, throughput_figures
    from apar.cli.bench.output import print_throughput, progress

    forked = options["forked_concurrency"] or options["concurrency"]
    concurrency: dict[Mode, int | None] = {"sequential": options["concurrency"], "forked": forked}
    with open_engine(bench_model, choice, options) as engine, progress(2 * options["rounds"]) as report:
        loads = replay_throughput(engine, options["rounds"], concurrency, report)
    figures, categories = throughput_figures(engine, loads), latency_under_load(engine, loads)
    print_throughput(figures, categories)
    result |= {"engine": engine.facts(), "left_out": engine.left_out}
    result |= {"all": asdict(figures), "categories": _plain(categories)}
    return [{"mode": mode, **asdict(load)} for mode in loads for load in loads[mode]]


@command.command("steps", cls=BackendCommand)
@model_options
@backend_options
@click.option(
    "--threads", default="1,2,4,8,16", show_default=True, callback=numbers, help="Numbers of threads decoded at once."
)
@count_option("--prompt-tokens", help="Length of the prompt.", default=128)
@count_option("--rounds", help="Rounds of the measurement.", default=5)
@json_option
def steps(choice: BackendChoice, **options: Any) -> None:
    """What a step with N threads costs over a step with one, and what a fork costs: this bounds what forking gains."""
    choice = _measured_by(choice, options)
    if choice.backend == VLLM:
        _vllm_steps(choice, options)
        return
    from apar.bench.steps import measure_steps, rows_for, step_control
    from apar.cli.bench.output import print_steps, progress

    bench_model, result = _begin("steps", options, choice)
    control, rows = step_control(bench_model), rows_for((1, *options["threads"]))
    engine = step_engine(bench_model, choice, control, rows)
    with progress(options["rounds"] + 1) as report:
        found = measure_steps(engine, control, options["threads"], options["prompt_tokens"], options["rounds"], report)
    print_steps(found)
    _finish({**result, "steps": [asdict(one) for one in found]}, [], options["json_file"])


def _vllm_steps(choice: BackendChoice, options: dict[str, Any]) -> None:
    """What a fork costs in vLLM, and a pass with N threads."""
    from apar.cli.bench.output import print_forks, print_passes, progress

    bench_model, result = _begin("steps", options, choice)
    from apar.bench.vllm.engine_setup import EngineSetup
    from apar.bench.vllm.fork_cost import ForkBench

    # After their last fork there are twice as many, and the chain of forks has all its threads at once.
    rows = max(32, 2 * max(options["threads"]))
    setup = EngineSetup(options["model"], None, rows, choice.fork_way, choice.arguments({}))
    bench = ForkBench(bench_model, setup, options["threads"], options["prompt_tokens"])
    with bench.engine, progress(options["rounds"] + 1) as report:
        forks, passes = bench.measure(options["rounds"], report)
    print_forks(forks)
    print_passes(passes)
    result |= {"engine": bench.engine.facts(), "forks": asdict(forks), "steps": [asdict(one) for one in passes]}
    _finish(result, [], options["json_file"])


@command.command("drafts")
@click.argument("model", required=False)
@drafts_options
@json_option
def drafts(**options: Any) -> None:
    """Answers one thread at a time and forked, each without and with drafts: four ways in one run.

    With --prompts MODEL answers questions greedily, and the four texts are compared. With --replay real answers are
    forced, with drafts that are right as often as --acceptance says; then --shape may take the place of MODEL.
    """
    from apar.cli.bench.drafts import prepare, print_drafts

    result, engine = prepare(options)
    _side_by_side(result, engine, print_drafts, options)


@command.command("policies")
@click.argument("model")
@policies_options
@json_option
def policies(**options: Any) -> None:
    """Answers of MODEL by every fork policy that it has, beside sequential decoding, in one run.

    A model that was taught to fork answers by its own tokens, and the same one thread at a time. Any other answers
    sequentially, by rules, and by Skeleton-of-Thought over the same engine. Texts differ: read the seconds with their
    tokens, and judge the answers by `apar evaluate`.
    """
    from apar.cli.bench.policies import prepare, print_policies

    result, engine = prepare(options)
    _side_by_side(result, engine, print_policies, options)


def _side_by_side(
    result: dict[str, Any], engine: SideBySide, show: Callable[[dict[str, CategoryFigures]], None], options: Any
) -> None:
    """Run all ways, print their table, and write the result."""
    from apar.bench.side_by_side import compare_ways, figures_by_category
    from apar.cli.bench.output import progress

    with progress(-(-len(engine.names) // options["concurrency"])) as report:
        batches = compare_ways(engine, options["concurrency"], report)
    figures = figures_by_category(engine, batches)
    show(figures)
    _finish({**result, "categories": _plain(figures)}, [asdict(batch) for batch in batches], options["json_file"])


def _measured_by(choice: BackendChoice, options: dict[str, Any]) -> BackendChoice:
    """The engine that is measured: llama.cpp by itself where a GGUF file is all that is given."""
    own = (options["shape"], options.get("peers"), options["tokenizer"], options["cpu_threads"])
    if options["model"] is None or any(own):
        return choice
    loading = {name: options[name] for name in ("dtype", "device") if options[name] != "auto"}
    return resolve_backend(options["model"], choice, loading)


def _begin(name: str, options: dict[str, Any], choice: BackendChoice) -> tuple[BenchModel, dict[str, Any]]:
    """The model of the options, and the result so far: what is measured, where and how."""
    from apar.bench.peers.process import parse_peers, parse_pythons

    parse_peers(options.get("peers"))
    parse_pythons(options.get("peer_python") or ())
    if options["shape"] is None and options["model"] is None:
        raise UserError("give a model or --shape, one of the two")
    check_backend(choice, options)
    if choice.backend == LLAMA:
        return _begin_llama(name, options, choice)
    from apar.extras import require

    require("local", "torch", "transformers")
    import torch

    from apar.bench.environment import command_line, environment_facts
    from apar.bench.model import load_bench_model
    from apar.cli.answering import quiet_libraries

    quiet_libraries()
    if options["cpu_threads"]:
        torch.set_num_threads(options["cpu_threads"])
    dtype, device = loading_of(choice, options)
    bench_model = load_bench_model(options["model"], options["shape"], dtype, device, options["tokenizer"])
    facts = {"bench": name, "command": command_line(), "machine": environment_facts(), "model": bench_model.facts()}
    return bench_model, facts


def _begin_llama(name: str, options: dict[str, Any], choice: BackendChoice) -> tuple[Any, dict[str, Any]]:
    """The same for a GGUF file on llama.cpp, where neither PyTorch nor Transformers may be installed."""
    from apar.bench.environment import command_line, environment_facts

    model = load_llama_model(choice, options)
    facts = {"bench": name, "command": command_line(), "machine": environment_facts(), "model": model.facts()}
    return model, facts


def _decode(bench_model: BenchModel, options: dict[str, Any], batches: Sequence[int]) -> dict[str, Any]:
    """Time sequential decoding beside the peers, and print the table."""
    from apar.bench.decode import DecodePlan, compare_decoding
    from apar.bench.peers.process import parse_peers, parse_pythons
    from apar.cli.bench.output import print_decode, status

    plan = DecodePlan(tuple(batches), options["prompt_tokens"], options["new_tokens"], options["peer_rounds"])
    peers, pythons = parse_peers(options["peers"]), parse_pythons(options["peer_python"])
    with status() as tell:
        found: DecodeReport = compare_decoding(bench_model, options["model"], plan, peers, pythons, tell)
    print_decode(found)
    return {"plan": asdict(plan), **asdict(found)}


def _plain(by_name: dict[str, Any]) -> dict[str, Any]:
    return {name: asdict(figures) for name, figures in by_name.items()}


def _finish(result: dict[str, Any], runs: Sequence[Any], file: Path | None) -> None:
    """Print the result as a line of JSON, and write it with the single runs where a file is asked for."""
    if file is not None:
        from apar.data.files import atomic_write

        with atomic_write(file) as out:
            out.write(json.dumps({**result, "runs": runs}) + "\n")
    click.echo(json.dumps(result))
