"""vLLM's own OpenAI server, with the scheduler that forks in the core."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from apar.backends.vllm.engine_args import CPU_BLOCK, SCHEDULER
from apar.backends.vllm.passthrough_flags import PREFIX
from apar.backends.vllm.versions import core_supported, require_vllm
from apar.errors import UserError
from apar.models.model_source import ModelSource, plain_source
from apar.models.vocabulary import load_vocabulary
from apar.tokens import ControlTokens

_MODULE = "vllm.entrypoints.openai.api_server"


def server_command(model: str, options: Mapping[str, str | int | None], words: Sequence[str]) -> list[str]:
    """The words that start the server: this Python, vLLM's module, and its options.

    `options` are given by vLLM's names, None where they are left out, and `words` as `--vllm.NAME VALUE`. Raises
    UserError where this vLLM was not tested with forks in its core, for its server has no other way, and ModelError
    for a model that was not trained to fork.
    """
    found = require_vllm()
    if not core_supported(found.version):
        raise UserError(
            f"forks in the core were not tested with {found}: serve the model with vLLM alone, and fork by requests "
            "(apar generate --backend vllm --url URL)"
        )
    source = plain_source(model, "vLLM")
    vocabulary = load_vocabulary(ModelSource(source))
    if vocabulary.control is None:
        ControlTokens.of(vocabulary.tokenizer)  # raises, naming what is missing
    given = [word.replace(PREFIX, "--", 1) if word.startswith(PREFIX) else word for word in words]
    command = [sys.executable, "-m", _MODULE, "--model", source, "--scheduler-cls", SCHEDULER]
    for name, value in options.items():
        if value is not None:
            command += [f"--{name}", str(value)]
    if _on_cpu() and not any(word.split("=")[0].replace("_", "-") == "--block-size" for word in given):
        command += ["--block-size", str(CPU_BLOCK)]
    return [*command, *given]


def run_server(command: Sequence[str], api_key: str | None) -> NoReturn:
    """Become the server: signals, output and exit code are its own. The key is not among the words, which all see."""
    if api_key is not None:
        os.environ["VLLM_API_KEY"] = api_key
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(command[0], list(command))


def _on_cpu() -> bool:
    from vllm.platforms import current_platform

    return bool(current_platform.is_cpu())
