"""`apar serve MODEL`: answer requests of OpenAI's API, with a page on which threads can be watched."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from apar.cli.base_model import to_load
from apar.cli.options import count_option
from apar.cli.options.backend import (
    URL_HELP,
    BackendChoice,
    BackendCommand,
    backend_maker,
    backend_option,
    llama_words,
    resolve_backend,
    vllm_config_option,
    vllm_words,
)
from apar.cli.options.model import model_options
from apar.cli.options.serve import OWN, Serving, serve_options
from apar.errors import UserError
from apar.extras import require
from apar.models.model_source import check_present

if TYPE_CHECKING:
    from apar.backends.backend import Backend
    from apar.backends.vllm.engine import ForkWay
    from apar.server.forking import Forking

_OWN_SERVER, _VLLM_SERVER = "apar", "vllm"


class ServeCommand(BackendCommand):
    """Takes the options of vLLM's engine, or with `--server vllm` those of its server."""

    def for_server(self, args: list[str]) -> bool:
        given = " ".join(args).replace("=", " ").split()
        return any(pair == ("--server", _VLLM_SERVER) for pair in pairwise(given))


@click.command("serve", cls=ServeCommand)
@click.argument("model")
@backend_option
@click.option(
    "--server",
    type=click.Choice((_OWN_SERVER, _VLLM_SERVER)),
    default=_OWN_SERVER,
    show_default=True,
    help="APAR's own server, or vLLM's own server with forks in its core.",
)
@serve_options
@click.option("--url", metavar="URL", help=f"{URL_HELP} Its API key is $VLLM_API_KEY.")
@click.option(
    "--remote-model", metavar="NAME", help="Name of the model on the server at --url.  [default: its only one]"
)
@count_option("--ranks", help="Number of data-parallel ranks of that server.")
@click.option("--fork-way", type=click.Choice(("core", "requests")), help="Fork inside vLLM's core or by requests.")
@vllm_config_option
@model_options
def command(
    model: str,
    backend: str,
    server: str,
    serving: Serving,
    url: str | None,
    remote_model: str | None,
    ranks: int | None,
    fork_way: ForkWay | None,
    config: Path | None,
    loading: dict[str, Any],
) -> None:
    """Serve MODEL with OpenAI's API. The address that is printed also shows a web page.

    MODEL is a folder, a GGUF file, a hub id, or `demo`. vLLM's own options are given as --vllm.NAME VALUE. With
    --backend completions the server at --url has the model, and MODEL names a tokenizer with its chat template for
    servers that apply none.
    """
    if remote_model is not None and url is None:
        raise UserError("--remote-model is the name that another server has for the model: give its --url")
    key = os.environ.get("VLLM_API_KEY") if url else None
    choice = BackendChoice(backend, url, remote_model, key, ranks, fork_way, config, vllm_words(), llama_words())
    choice = resolve_backend(model, choice, loading)
    if "cpu_threads" in loading and choice.backend not in ("local", "llama-cpp"):
        raise UserError("--cpu-threads is of --backend local; here another engine decodes, leave it out")
    _check(model, choice.backend, server, loading.get("adapter"))
    name = serving.served_model_name or _name_of(model)
    model, loading = to_load(model, loading, serving.fork != "off")
    if server == _VLLM_SERVER:
        _serve_by_vllm(model, name, choice, serving, loading)
    else:
        _serve(name, choice, serving, backend_maker(model, choice, loading))


def _check(model: str, backend: str, server: str, adapter: str | None) -> None:
    """Raise UserError for what is missing here, and ModelError where there is no model, before anything begins."""
    if server == _OWN_SERVER:
        engine = ("torch", "transformers") if backend == "local" else ()
        require("local,server" if engine else "server", *engine, "fastapi", "httptools", "prometheus_client", "uvicorn")
    if backend != "completions":  # which has the model, and mostly its chat template
        check_present(model, adapter)


def _serve(name: str, choice: BackendChoice, serving: Serving, make: Callable[[], Backend]) -> None:
    from apar.server.app import guarded_app
    from apar.server.health import Health
    from apar.server.http.server import serve

    if serving.is_open:
        click.echo(f"warning: whoever reaches {serving.host} may ask this server: it has no --api-key", err=True)
    health = Health()
    settings = serving.settings(name, "remote" if choice.url else choice.backend)
    app = guarded_app(
        settings,
        _forking(make, serving.forking),
        health,
        serving.limits,
        serving.api_key,
        serving.cors_origins,
        serving.hosts,
    )
    serve(
        app,
        health,
        name,
        host=serving.host,
        port=serving.port,
        limits=serving.limits,
        access_log=serving.log_requests,
    )


def _forking(make: Callable[[], Backend], forking: Forking) -> Callable[[], Backend]:
    """What makes the backend and sees to it that it can fork so; a line says where it does not fork."""

    def made() -> Backend:
        backend = make()
        try:
            forking.check(backend)
        except BaseException:
            backend.close()
            raise
        if note := forking.note(backend):
            click.echo(f"apar: {note}", err=True)
        return backend

    return made


def _serve_by_vllm(model: str, name: str, choice: BackendChoice, serving: Serving, loading: dict[str, Any]) -> None:
    """Become vLLM's own server; raises UserError for options that it does not have."""
    if choice.backend != "vllm" or choice.url or choice.fork_way:
        raise UserError(
            "--server vllm is vLLM's own server with forks in its core: give --backend vllm, no --url, no --fork-way"
        )
    context = click.get_current_context()
    for option in OWN:
        if context.get_parameter_source(option) is not ParameterSource.DEFAULT:
            raise UserError(f"--{option.replace('_', '-')} is of our own server; leave out --server vllm")
    from apar.backends.vllm.passthrough_flags import read_config, to_words
    from apar.backends.vllm.server import run_server, server_command

    given = read_config(choice.config) if choice.config else {}
    given |= {"dtype": loading["dtype"]} if "dtype" in loading else {}
    drafting = choice.arguments(loading, model)
    if "medusa" in loading and "speculative_config" in drafting:
        given["speculative_config"] = drafting["speculative_config"]
    options: dict[str, str | int | None] = {"host": serving.host, "port": serving.port, "served-model-name": name}
    run_server(server_command(model, options, [*to_words(given), *choice.words]), serving.api_key)


def _name_of(model: str) -> str:
    """A hub id is its own name; a folder or GGUF file has the last part of its path: no more is told of the machine."""
    place = Path(model)
    if place.is_file():
        return place.stem
    return place.resolve().name if place.is_dir() else model
