"""`apar chat MODEL`, or `apar chat --url URL`: talk with a model over many turns."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from apar.cli.base_model import to_load
from apar.cli.options.backend import BackendChoice, BackendCommand, open_engine, resolve_backend
from apar.cli.options.chat import Address, chat_options
from apar.cli.options.model import model_options
from apar.cli.options.sampling import sampling_options, tell_unforked
from apar.decoding.params import SamplingParams
from apar.errors import RequestError, UserError

if TYPE_CHECKING:
    from apar.chat.conversation import Conversation
    from apar.chat.session import Session


@click.command("chat", cls=BackendCommand)
@click.argument("model", required=False)
@click.option("--system", metavar="TEXT", help="System prompt of the chat.")
@click.option(
    "--load",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Continue a chat from a JSON file of OpenAI messages, as written by /save.",
)
@click.option("--plain", is_flag=True, help="Read each line of standard input as a question, even on a terminal.")
@click.option(
    "--json-lines",
    is_flag=True,
    help="As --plain, with JSON: a string per line in, an answer with its figures per line out.",
)
@sampling_options
@chat_options
@model_options
def command(
    model: str | None,
    system: str | None,
    load: Path | None,
    plain: bool,
    json_lines: bool,
    params: SamplingParams,
    answerer: Address | BackendChoice,
    loading: dict[str, Any],
) -> None:
    """Talk with MODEL, or with a server, over many turns.

    MODEL is a folder, a GGUF file, a hub id, or `demo`. With --url alone a server answers: one of `apar serve`, which
    reports its threads, or any other with OpenAI's API; its key is --api-key or $APAR_API_KEY. On a terminal the
    threads are shown side by side, and /help lists what can be done beside asking. Elsewhere each line of standard
    input is a question; answers go to standard output, figures to standard error.
    """
    if params.logprobs is not None:
        raise RequestError("a chat does not show log probabilities; leave --logprobs out")
    if params.n > 1:
        raise RequestError("a chat has one answer a turn; leave -n out")
    conversation = _conversation(system, load)
    with _session(model, answerer, loading, params, conversation) as session:
        if json_lines:
            from apar.cli.chat.plain import answer_json_lines

            sys.exit(answer_json_lines(session))
        if plain or not (sys.stdin.isatty() and sys.stdout.isatty()):
            from apar.cli.chat.plain import answer_lines

            sys.exit(answer_lines(session))
        from apar.cli.chat.terminal import talk

        talk(session, str(model or getattr(session.backend, "model", "")))


def _conversation(system: str | None, load: Path | None) -> Conversation:
    """What the chat begins with."""
    from apar.chat.conversation import Conversation

    conversation = Conversation() if load is None else Conversation.read(load)
    return conversation if system is None else conversation.with_system(system)


@contextmanager
def _session(
    model: str | None,
    answerer: Address | BackendChoice,
    loading: dict[str, Any],
    params: SamplingParams,
    conversation: Conversation,
) -> Iterator[Session]:
    """The chat with a server, or with an engine of this process."""
    from apar.chat.session import Session

    if isinstance(answerer, Address):
        if model is not None:
            raise UserError(f"with --url the server has the model: leave {model} out, or name it by --model")
        if loading:
            name = next(iter(loading)).replace("_", "-")
            raise UserError(f"--{name} is of a model that is loaded here; the server at --url has loaded its own")
        with answerer.open() as server:
            yield Session(server, params, conversation, at_once=True)
        return
    if model is None:
        raise UserError("nobody is there to answer: name a MODEL, or a server by --url")
    model, loading = to_load(model, loading, params.fork)
    choice = resolve_backend(model, answerer, loading)
    with open_engine(model, choice, loading) as engine:
        _check_forks(engine, params)
        # Our own engine must end the step that it is in; another backend runs beside.
        yield Session(engine, params, conversation, at_once=choice.backend != "local")


def _check_forks(engine: Any, params: SamplingParams) -> None:
    """Raise ModelError at once where a model that was not trained to fork is asked to."""
    backend = getattr(engine, "backend", engine)
    tell_unforked(params, getattr(backend, "forks", True))
    if params.fork and params.fork_by == "model" and not params.sequential and not getattr(backend, "forks", True):
        from apar.tokens import ControlTokens

        ControlTokens.of(backend.tokenizer)
