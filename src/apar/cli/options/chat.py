"""The options of a server that a chat asks, in place of an engine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from apar.cli.options import gather
from apar.cli.options.backend import BACKEND_OPTIONS, BackendChoice, backend_choice
from apar.errors import UserError
from apar.extras import require

if TYPE_CHECKING:
    from apar.client.chat import ChatClient


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is, and how it is asked."""

    url: str
    api_key: str | None
    model: str | None
    timeout: float

    def open(self) -> ChatClient:
        """The server; raises UserError where httpx is missing, and what asking raises."""
        require("client", "httpx")
        from apar.client.chat import ChatClient

        return ChatClient(self.url, self.api_key, self.model, self.timeout, lambda text: click.echo(text, err=True))


def _address_or_choice(model_name: str | None, timeout: float, **engine: Any) -> Address | BackendChoice:
    url, api_key, served_model = engine["url"], engine["api_key"], engine["served_model"]
    if url is None or engine["backend"] not in ("auto", "local"):
        if model_name is not None:
            raise UserError("--model is a server's name of its model, with --url alone; name MODEL without --model")
        return backend_choice(**engine)
    backend_choice(**{**engine, "url": None, "api_key": None, "served_model": None})  # refuses options of vLLM
    return Address(url, _key(api_key), model_name or served_model, timeout)


def _key(api_key: str | None) -> str | None:
    """The key that was given, or that of the environment; never another server's, which stands there too."""
    given = click.get_current_context().get_parameter_source("api_key") is ParameterSource.COMMANDLINE
    return api_key if given else os.environ.get("APAR_API_KEY")


chat_options = gather(
    "answerer",
    _address_or_choice,
    click.option("--model", "model_name", metavar="NAME", help="With --url: the server's name of the model."),
    click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=300.0,
        show_default=True,
        metavar="S",
        help="With --url: longest time between two pieces of an answer, in seconds.",
    ),
    *BACKEND_OPTIONS,
)
"""The command, a `BackendCommand`, is called with `answerer`: an `Address` for --url alone, else a `BackendChoice`."""
