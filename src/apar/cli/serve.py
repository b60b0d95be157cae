"""`apar serve MODEL`: answer requests of OpenAI's API."""

from __future__ import annotations

from pathlib import Path

import click

from apar.backends.vllm.words import read_config
from apar.cli.backend_options import BackendCommand, vllm_config_option, vllm_words


class ServeCommand(BackendCommand):
    """Takes the options of vLLM's server."""

    serves = True


@click.command("serve", cls=ServeCommand)
@click.argument("model")
@click.option("--backend", type=click.Choice(("vllm",)), required=True, help="What decodes and serves.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True)
@click.option(
    "--api-key", envvar="VLLM_API_KEY", metavar="KEY", help="Refuse requests without it.  [default: $VLLM_API_KEY]"
)
@click.option("--served-model-name", metavar="NAME", help="What clients call the model.  [default: MODEL]")
@click.option("--dtype", metavar="TYPE", help="float32, bfloat16 or float16.  [default: the model's]")
@vllm_config_option
def command(
    model: str,
    backend: str,
    host: str,
    port: int,
    api_key: str | None,
    served_model_name: str | None,
    dtype: str | None,
    config: Path | None,
) -> None:
    """Serve MODEL with vLLM's own OpenAI server, forking inside its core.

    To every client an answer is one ordinary text; it only comes faster. MODEL is a folder, a hub id, or `demo`.
    vLLM's own options are given as --vllm.NAME VALUE.
    """
    from apar.backends.vllm.server import run_server, server_command
    from apar.backends.vllm.words import to_words

    options: dict[str, str | int | None] = {
        "host": host,
        "port": port,
        "served-model-name": served_model_name or model,
        "dtype": dtype,
    }
    words = [*(to_words(read_config(config)) if config else ()), *vllm_words()]
    run_server(server_command(model, options, words), api_key)
