"""`apar generate MODEL PROMPT`: answer one prompt, or with `--input` and `--output` those of a file."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from apar.cli.base_model import to_load
from apar.cli.generate_file import write_answers
from apar.cli.options import count_option
from apar.cli.options.backend import BackendChoice, BackendCommand, backend_options, open_engine
from apar.cli.options.model import model_options
from apar.cli.options.sampling import sampling_options, tell_unforked
from apar.decoding.params import SamplingParams
from apar.errors import RequestError

if TYPE_CHECKING:
    from rich.console import Console

    from apar.backends.sync import SyncBackend
    from apar.cli.answering import TimedAnswer
    from apar.engine.llm import LLM, Answer


@click.command("generate", cls=BackendCommand)
@click.argument("model")
@click.argument("prompt", required=False)
@sampling_options
@click.option("--live", is_flag=True, help="Show the threads side by side while they are decoded.")
@click.option(
    "--trace",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the events of the answer as JSON lines, for `apar plot`.",
)
@click.option(
    "--input",
    "prompts",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Answer the prompts of a file: chats, trees, or JSON lines with `prompt` or `messages`.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where the answers to --input go, as trees that `apar train` reads; what is there is not answered again.",
)
@count_option("--concurrency", default=16, help="With --input: answers decoded at a time.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer and its figures as one line of JSON.")
@backend_options
@model_options
def command(
    model: str,
    prompt: str | None,
    params: SamplingParams,
    live: bool,
    trace: Path | None,
    prompts: Path | None,
    output: Path | None,
    concurrency: int,
    as_json: bool,
    choice: BackendChoice,
    loading: dict[str, Any],
) -> None:
    """Answer PROMPT with MODEL, decoding the parts of the answer in parallel.

    MODEL is a folder, a GGUF file, a hub id, or `demo` for the shipped model; with --backend completions it names the
    tokenizer with the chat template, where the server applies none. PROMPT `-` is read from standard input.
    The answer is printed in reading order as it comes, its figures go to standard error. With --input and --output
    all prompts of a file are answered.
    """
    if prompts is not None or output is not None:
        if prompts is None or output is None or prompt is not None or live or trace or as_json:
            raise RequestError("--input and --output go together, without PROMPT, --live, --trace and --json")
        write_answers(model, prompts, output, params, concurrency, choice, loading)
        return
    if prompt is None:
        raise click.UsageError("missing argument 'PROMPT', or --input and --output", click.get_current_context())
    if params.n > 1 and (live or trace):
        raise RequestError("--live and --trace are of one answer; leave -n out")
    question = _question(prompt)
    model, loading = to_load(model, loading, params.fork)
    with _trace_file(trace) as file, open_engine(model, choice, loading) as llm:
        tell_unforked(params, getattr(getattr(llm, "backend", llm), "forks", True))
        if params.n > 1:
            _answers(llm, question, params, as_json)
            return
        answer = _answer(llm, question, params, live, as_json)
        if file is not None:
            from apar.events import write_trace

            write_trace(answer.events, file)


def _question(prompt: str) -> str:
    """The prompt itself, or standard input."""
    if prompt == "-":
        try:
            prompt = sys.stdin.buffer.read().decode("utf-8")
        except UnicodeDecodeError as error:
            raise RequestError("the prompt on standard input is not UTF-8 text") from error
    if not prompt.strip():
        raise RequestError("the prompt is empty")
    return prompt


@contextmanager
def _trace_file(path: Path | None) -> Iterator[TextIO | None]:
    """Opened before anything is decoded, so that a folder that cannot be written costs no answer."""
    if path is None:
        yield None
        return
    from apar.data.files import atomic_write

    with atomic_write(path) as file:
        yield file


def _answer(llm: LLM | SyncBackend, question: str, params: SamplingParams, live: bool, as_json: bool) -> Answer:
    """Decode and print the answer."""
    from rich.console import Console

    from apar.cli.answering import TimedAnswer, numbers

    stream = TimedAnswer(llm.stream(question, params))
    _show(stream, params, Console(stderr=True) if live else None, quiet=as_json)
    answer = stream.answer
    if as_json:
        click.echo(json.dumps(answer.to_dict()))
    else:
        seed = f", seed {answer.seed}" if params.temperature else ""
        click.echo(numbers(answer) + seed, err=True)
    return answer


def _answers(llm: LLM | SyncBackend, question: str, params: SamplingParams, as_json: bool) -> None:
    """Decode several answers together and print one after the other."""
    from apar.cli.answering import numbers, write

    for answer in llm.generate([question], params):
        if as_json:
            click.echo(json.dumps(answer.to_dict()))
            continue
        write(answer.text if answer.text.endswith("\n") else answer.text + "\n")
        title = f"answer {answer.choice + 1} of {params.n}, seed {answer.seed}: "
        click.echo(title + numbers(answer), err=True)


def _show(stream: TimedAnswer[Answer], params: SamplingParams, live: Console | None, quiet: bool) -> None:
    """Read the stream to its end; draw its threads on `live`, and print its text unless `quiet`."""
    from apar.cli.answering import write
    from apar.view.live import can_show_live, show_live, show_plain

    if live is not None and can_show_live(live):
        text = show_live(stream, live, params.stop)
        if not quiet:
            write(text)
    else:
        text = show_plain(stream, (lambda piece: None) if quiet else write, params.stop)
    if not quiet and not text.endswith("\n"):
        click.echo()
