"""The options of a server that a chat asks, in place of an engine."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from apar.errors import UserError
from apar.extras import require

if TYPE_CHECKING:
    from apar.client.chat import ChatClient

_SECONDS = 300.0


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


def address_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that has `backend_options` a server in their place: `--url` without `--backend vllm`.

    It is called with the `Address` as `address`, None where an engine answers.
    """

    @click.option("--model", "model_name", metavar="NAME", help="With --url: the server's name of the model.")
    @click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=_SECONDS,
        show_default=True,
        metavar="S",
        help="With --url: how long the server may say nothing.",
    )
    @wraps(command)
    def addressed(
        *args: Any, model_name: str | None, timeout: float, backend: str, url: str | None, api_key: str | None,
        served_model: str | None, **values: Any,
    ) -> None:  # fmt: skip
        if url is None or backend != "local":
            if model_name is not None:
                raise UserError("--model is a server's name of its model, with --url alone; name MODEL without --model")
            engine = {"backend": backend, "url": url, "api_key": api_key, "served_model": served_model}
            command(*args, address=None, **engine, **values)
            return
        address = Address(url, _key(api_key), model_name or served_model, timeout)
        command(*args, address=address, backend=backend, url=None, api_key=None, served_model=None, **values)

    decorated: Callable[..., None] = addressed
    return decorated


def _key(api_key: str | None) -> str | None:
    """The key that was given, or that of the environment; never another server's, which stands there too."""
    given = click.get_current_context().get_parameter_source("api_key") is ParameterSource.COMMANDLINE
    return api_key if given else os.environ.get("APAR_API_KEY")
