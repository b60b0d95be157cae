"""The options that say which engine decodes: ours or llama.cpp in this process, a vLLM here, or a server elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from apar.cli.options import count_option, gather, renamed_option
from apar.errors import UserError
from apar.extras import require

if TYPE_CHECKING:
    from apar.backends.backend import Backend
    from apar.backends.sync import SyncBackend
    from apar.backends.vllm.engine import ForkWay
    from apar.engine.llm import LLM

_WORDS, _LLAMA_WORDS = "apar.vllm.words", "apar.llama.words"
_AUTO, _LOCAL, _LLAMA, _VLLM, _COMPLETIONS = "auto", "local", "llama-cpp", "vllm", "completions"
BACKENDS = (_AUTO, _LOCAL, _LLAMA, _VLLM, _COMPLETIONS)
URL_HELP = "URL of a running server to decode with; needs --backend vllm or completions."
_OF_LLAMA = {"max_rows", "cpu_threads"}
"""Options of a model that llama.cpp has, too."""


@dataclass(frozen=True, slots=True)
class BackendChoice:
    """The engine that was chosen; `words` are vLLM's own options, `config` a file with more of them, `llama_words` are
    llama.cpp's.
    """

    backend: str
    url: str | None
    served_model: str | None
    api_key: str | None
    ranks: int | None
    fork_way: ForkWay | None
    config: Path | None
    words: tuple[str, ...]
    llama_words: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.llama_words and self.backend not in (_AUTO, _LLAMA):
            raise UserError(f"{self.llama_words[0]} is an option of llama.cpp; add --backend llama-cpp")
        if self.url is not None and self.backend not in (_VLLM, _COMPLETIONS):
            raise UserError("--url is of vLLM or of another server; add --backend vllm, or --backend completions")
        if self.url is None and self.backend == _COMPLETIONS:
            raise UserError("--backend completions is a server elsewhere: give its --url")
        for name, value in (("--fork-way", self.fork_way), ("--vllm-config", self.config)):
            if value is not None and self.backend != _VLLM:
                raise UserError(f"{name} is of vLLM; add --backend vllm")
        if self.words and self.backend != _VLLM:
            raise UserError(f"{self.words[0]} is an option of vLLM; add --backend vllm")
        for name, given in (("--remote-model", self.served_model), ("--ranks", self.ranks)):
            if given is not None and self.url is None:
                raise UserError(f"{name} is of a server: give its --url")
        if self.ranks is not None and self.backend == _COMPLETIONS:
            raise UserError("--ranks is of a vLLM server: add --backend vllm, or leave it out")
        if self.url is not None and (self.words or self.config or self.fork_way):
            raise UserError("the server at --url runs already: give vLLM's options and --fork-way where it is started")

    def arguments(self, loading: dict[str, Any], model: str | None = None) -> dict[str, Any]:
        """vLLM's engine arguments; raises UserError for options of the engine in process.

        `model` is what vLLM loads, which Medusa heads are for.
        """
        from apar.backends.vllm.passthrough_flags import parse_options, read_config

        given = read_config(self.config) if self.config else {}
        given |= parse_options(self.words)
        for name, value in loading.items():
            if name == "adapter":
                raise UserError("vLLM loads no --adapter here: write a folder with `apar merge`, and give it as MODEL")
            if name == "drafts" and value not in ("medusa", "off"):
                raise UserError(
                    f"--drafts {value} is of --backend local; vLLM's own are --vllm.speculative-config JSON"
                )
            if name not in ("dtype", "medusa", "drafts"):
                raise UserError(f"--{name.replace('_', '-')} is of --backend local; vLLM's own options are --vllm.NAME")
        if "dtype" in loading:
            given["dtype"] = loading["dtype"]
        return self._with_heads(given, loading, model)

    def _with_heads(self, given: dict[str, Any], loading: dict[str, Any], model: str | None) -> dict[str, Any]:
        """The arguments with which vLLM drafts by the heads that were named."""
        heads = loading.get("medusa")
        if loading.get("drafts") == "medusa" and heads is None:
            raise UserError("--drafts medusa needs heads: name their folder by --medusa")
        if heads is None or loading.get("drafts") == "off" or model is None:
            return given
        if self.url is not None:
            raise UserError("the server at --url runs already: give --medusa where it is started")
        from apar.backends.vllm.heads import arguments_to_draft

        return arguments_to_draft(given, heads, model)


class BackendCommand(click.Command):
    """A command whose words `--vllm.NAME VALUE` go to vLLM as they are, and `--llama.NAME VALUE` to llama.cpp."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        from apar.backends.llama_cpp.options import split_words as split_llama_words
        from apar.backends.vllm.passthrough_flags import split_words

        ctx.meta[_LLAMA_WORDS], args = split_llama_words(args)
        ctx.meta[_WORDS], rest = split_words(args, server=self.for_server(args))
        return super().parse_args(ctx, rest)

    def for_server(self, args: list[str]) -> bool:
        """Whether they are those of vLLM's server, or of its engine alone."""
        return False


vllm_config_option = click.option(
    "--vllm-config",
    "config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="YAML file with vLLM's engine arguments in its section `vllm`; --vllm.NAME VALUE takes precedence.",
)


def vllm_words() -> tuple[str, ...]:
    """The words `--vllm.NAME VALUE` of the command under way, which is a `BackendCommand`."""
    return tuple(click.get_current_context().meta.get(_WORDS, ()))


def llama_words() -> tuple[str, ...]:
    """The words `--llama.NAME VALUE` of the command under way, which is a `BackendCommand`."""
    return tuple(click.get_current_context().meta.get(_LLAMA_WORDS, ()))


backend_option = click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    default=_AUTO,
    show_default=True,
    help="local: APAR's own engine in this process; llama-cpp: llama.cpp; vllm: vLLM; completions: any server with "
    "OpenAI's completions. auto: llama.cpp for a GGUF file where it is installed, else local.",
)

BACKEND_OPTIONS = (
    backend_option,
    click.option("--url", metavar="URL", help=URL_HELP),
    click.option(
        "--remote-model",
        "served_model",
        metavar="NAME",
        help="Name of the model on the server at --url.  [default: its only one]",
    ),
    renamed_option("--served-model", "--remote-model"),
    click.option(
        "--api-key",
        envvar="VLLM_API_KEY",
        metavar="KEY",
        help="API key of the server at --url.  [default: $VLLM_API_KEY]",
    ),
    count_option("--ranks", help="Number of data-parallel ranks of the server."),
    click.option(
        "--fork-way",
        type=click.Choice(("core", "requests")),
        help="Fork inside vLLM's core or by requests.  [default: core if APAR supports it for this vLLM version]",
    ),
    vllm_config_option,
)


def backend_choice(**values: Any) -> BackendChoice:
    """The choice of the command under way, a `BackendCommand`; raises UserError for options that do not go together."""
    return BackendChoice(**values, words=vllm_words(), llama_words=llama_words())


backend_options = gather("choice", backend_choice, *BACKEND_OPTIONS)
"""The command, whose class must be `BackendCommand`, is called with the `BackendChoice` as `choice`."""


def resolve_backend(model: str, choice: BackendChoice, loading: dict[str, Any]) -> BackendChoice:
    """The choice with an engine that is named; where that is llama.cpp by itself, a line says so.

    Raises ModelError where there is no such model.
    """
    if choice.backend != _AUTO:
        return choice
    from apar.backends.llama_cpp.versions import installed, is_usable
    from apar.models.model_source import model_source

    source = model_source(model)
    alone = source.gguf_file is not None and source.adapter is None and loading.keys() <= _OF_LLAMA
    if choice.llama_words or (alone and is_usable()):
        name = f"llama-cpp-python {installed()}"
        click.echo(f"apar: llama.cpp decodes {source} ({name}; --backend local does not use it)", err=True)
        return replace(choice, backend=_LLAMA)
    return replace(choice, backend=_LOCAL)


@contextmanager
def open_engine(model: str, choice: BackendChoice, loading: dict[str, Any]) -> Iterator[LLM | SyncBackend]:
    """The chosen engine with a model, closed at the end; raises what loading raises."""
    from rich.console import Console

    from apar.cli import answering

    console = Console(stderr=True)
    choice = resolve_backend(model, choice, loading)
    if choice.backend == _LOCAL:
        yield answering.load_llm(model, console, **loading)
        return
    from apar.backends.sync import SyncBackend

    with answering.spinner(model, console):
        engine = SyncBackend(backend_maker(model, choice, loading))
    with engine:
        yield engine


def backend_maker(model: str, choice: BackendChoice, loading: dict[str, Any]) -> Callable[[], Backend]:
    """What makes the chosen engine for asyncio programs; raises UserError at once for what is missing or unfit."""
    choice = resolve_backend(model, choice, loading)
    if choice.backend == _LOCAL:
        return _local_maker(model, loading)
    if choice.backend == _LLAMA:
        return _llama_maker(model, choice, loading)
    if choice.backend == _COMPLETIONS:
        return _completions_maker(model, choice, loading)
    arguments = choice.arguments(loading, model)
    url = choice.url
    if url is not None:
        from apar.backends.vllm_server.engine import VllmServerBackend

        return lambda: VllmServerBackend(
            model, url, served_model=choice.served_model, api_key=choice.api_key, ranks=choice.ranks or 1
        )
    from apar.backends.vllm.versions import require_vllm

    require_vllm()
    # vLLM writes a page of lines while it starts; what goes wrong is still told.
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    from apar.backends.vllm.engine import VllmBackend

    return lambda: VllmBackend(model, fork=choice.fork_way, **arguments)


def _completions_maker(model: str, choice: BackendChoice, loading: dict[str, Any]) -> Callable[[], Backend]:
    if loading:
        name = next(iter(loading)).replace("_", "-")
        raise UserError(f"--{name} is of a model that is loaded here; the server at --url has loaded its own")
    require("remote", "httpx")
    from apar.backends.completions import CompletionsBackend

    url = choice.url
    assert url is not None
    return lambda: CompletionsBackend(model, url, served_model=choice.served_model, api_key=choice.api_key)


def _local_maker(model: str, loading: dict[str, Any]) -> Callable[[], Backend]:
    require("local", "torch", "transformers")

    def make() -> Backend:
        from apar.cli.answering import import_less, quiet_libraries

        import_less()
        from apar.engine.async_llm import AsyncLLM

        quiet_libraries()
        return AsyncLLM(model, **loading)

    return make


def _llama_maker(model: str, choice: BackendChoice, loading: dict[str, Any]) -> Callable[[], Backend]:
    from apar.backends.llama_cpp.options import MAX_ROWS, parse_options
    from apar.backends.llama_cpp.versions import require_llama_cpp
    from apar.models.gguf_file import plain_gguf

    for name in loading:
        if name not in _OF_LLAMA:
            raise UserError(f"--{name.replace('_', '-')} is of --backend local; llama.cpp's own are --llama.NAME VALUE")
    options = parse_options(choice.llama_words)
    if "cpu_threads" in loading:
        options.setdefault("n_threads", loading["cpu_threads"])
    file = plain_gguf(model)
    require_llama_cpp()

    def make() -> Backend:
        from apar.backends.llama_cpp.backend import LlamaCppBackend

        return LlamaCppBackend(file, max_rows=loading.get("max_rows", MAX_ROWS), options=options)

    return make
