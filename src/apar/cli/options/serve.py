"""The options of `apar serve`: where it listens, who may ask, and how much."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from apar.cli.options import count_option, gather
from apar.cli.options.origins import check_origin
from apar.cli.options.sampling import max_items_option, sequential_option, served_fork_option
from apar.errors import UserError
from apar.sizes import parse_bytes

if TYPE_CHECKING:
    from apar.server.forking import Forking
    from apar.server.protocol.fields import ForkPolicy
    from apar.server.settings import ServerLimits, ServerSettings

_KEY = "APAR_API_KEY"
OWN = (
    "cors_origins",
    "allowed_hosts",
    "max_open",
    "max_body",
    "request_timeout",
    "drain",
    "log_requests",
    "sequential",
    "fork",
    "max_items",
)
"""Options of our own server, which vLLM's does not have."""


@dataclass(frozen=True, slots=True)
class Serving:
    """What was given of them."""

    host: str
    port: int
    api_key: str | None
    served_model_name: str | None
    cors_origins: tuple[str, ...]
    allowed_hosts: tuple[str, ...]
    max_open: int
    max_body: int
    request_timeout: float
    drain: float
    log_requests: bool
    sequential: bool
    fork: ForkPolicy
    max_items: int | None

    @property
    def forking(self) -> Forking:
        """What forks the answers to requests that do not say."""
        from apar.server.forking import Forking

        return Forking(self.fork, self.max_items)

    @property
    def limits(self) -> ServerLimits:
        from apar.server.settings import ServerLimits

        return ServerLimits(body=self.max_body, drain_seconds=self.drain)

    @property
    def hosts(self) -> frozenset[str] | None:
        """By which it is asked, None for any; raises UserError for what is none."""
        from apar.server.middleware.hosts import names_of

        return names_of(self.host, self.api_key is not None, self.allowed_hosts)

    @property
    def is_open(self) -> bool:
        """Whether others than the users of this machine may ask without a key."""
        from apar.server.http.sockets import is_loopback

        return self.api_key is None and not is_loopback(self.host)

    def settings(self, model: str, backend: str) -> ServerSettings:
        """Raises UserError where they do not fit."""
        from apar.server.settings import ServerSettings

        return ServerSettings(
            model,
            backend,
            max_open=self.max_open,
            request_seconds=self.request_timeout,
            forking=self.forking,
            max_parallel_threads=1 if self.sequential else None,
        )


def _serving(**values: Any) -> Serving:
    values["api_key"] = _key(values["api_key"])
    values["cors_origins"] = tuple(map(check_origin, _listed("--cors-origins", values["cors_origins"])))
    values["allowed_hosts"] = _listed("--allowed-hosts", values["allowed_hosts"])
    values["max_body"] = parse_bytes(values["max_body"], "--max-body")
    return Serving(**values)


def _key(given: str | None) -> str | None:
    """The key; raises UserError for an empty one, with which a server would be open that was meant to be closed."""
    if given == "":
        raise UserError("--api-key is empty; leave it out for a server that needs no key")
    if given is None and _KEY in os.environ:
        raise UserError(f"${_KEY} is empty; set it to a key, or unset it for a server that needs none")
    return given


def _listed(option: str, given: tuple[str, ...]) -> tuple[str, ...]:
    """The words of an option that is given again for more, or with commas; raises UserError where there is none."""
    words = tuple(one for each in given for word in each.split(",") if (one := word.strip()))
    if given and not words:
        raise UserError(f"{option} is empty; leave it out for its default")
    return words


serve_options = gather(
    "serving",
    _serving,
    click.option(
        "--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for all interfaces."
    ),
    click.option(
        "--port",
        type=click.IntRange(0, 65535),
        default=8000,
        show_default=True,
        help="Port to listen on; 0 is any free port.",
    ),
    click.option(
        "--api-key", envvar=_KEY, metavar="KEY", help=f"Require this API key from clients.  [default: ${_KEY}]"
    ),
    click.option(
        "--cors-origins",
        multiple=True,
        metavar="ORIGIN",
        help="Origin whose web pages may send requests (repeatable); * is all.",
    ),
    click.option(
        "--allowed-hosts",
        multiple=True,
        metavar="NAME",
        help="Host name that requests may use (repeatable); * is any.  [default: any, with a key or beyond localhost]",
    ),
    click.option(
        "--served-model-name",
        metavar="NAME",
        help="Name of the model for clients.  [default: MODEL, or the name of its folder]",
    ),
    count_option(
        "--max-open", help="Most answers in progress or waiting; further requests are refused with 429.", default=256
    ),
    click.option("--max-body", default="4MiB", show_default=True, metavar="SIZE", help="Largest body of a request."),
    click.option(
        "--request-timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=600.0,
        show_default=True,
        metavar="S",
        help="Longest time for an answer, in seconds.",
    ),
    click.option(
        "--drain",
        type=click.FloatRange(min=0),
        default=30.0,
        show_default=True,
        metavar="S",
        help="Time for open answers to finish after the signal to stop, in seconds.",
    ),
    click.option("--log-requests", is_flag=True, help="Log every request on standard error."),
    sequential_option,
    served_fork_option,
    max_items_option,
)
"""The command is called with their `Serving` as `serving`."""
