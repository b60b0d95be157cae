"""vLLM's engine arguments: those of the user, and those that forking wants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apar.errors import UserError

_SCHEDULERS = "apar.backends.vllm.scheduler"
_CPU_BLOCK = 32
"""Tokens in a block on the CPU, the fewest that vLLM has there: every thread has a partly filled one."""


def engine_arguments(source: str, given: Mapping[str, Any], core: bool) -> dict[str, Any]:
    """Keyword arguments of vLLM's `AsyncEngineArgs` for a model.

    With `core` the scheduler that forks in the core is put in. Raises UserError for arguments that vLLM does not
    know or that stand against forking.
    """
    from vllm import AsyncEngineArgs
    from vllm.platforms import current_platform

    unknown = sorted(given.keys() - AsyncEngineArgs.__dataclass_fields__.keys())
    if unknown:
        raise UserError(f"vLLM has no engine argument {unknown[0]}; its own are listed by `vllm serve --help`")
    arguments: dict[str, Any] = {"model": source, "scheduling_policy": "priority", **given}
    if current_platform.is_cpu():
        arguments.setdefault("block_size", _CPU_BLOCK)
    if core:
        if "scheduler_cls" in arguments:
            raise UserError("forks in the core need a scheduler class of their own: leave scheduler_cls out")
        wanted = arguments.get("async_scheduling")
        asynchronous = not current_platform.is_cpu() if wanted is None else bool(wanted)
        arguments["async_scheduling"] = asynchronous
        arguments["scheduler_cls"] = f"{_SCHEDULERS}.{'AsyncForkScheduler' if asynchronous else 'ForkScheduler'}"
    return arguments


PREFIX = "--vllm."


def parse_options(words: Sequence[str]) -> dict[str, Any]:
    """Engine arguments from command line words, by vLLM's own parser: `--vllm.tensor-parallel-size 4`.

    Raises UserError for words that are no such option, or values that vLLM does not take.
    """
    if not words:
        return {}
    from vllm import AsyncEngineArgs
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    own = [word.replace(PREFIX, "--", 1) if word.startswith(PREFIX) else word for word in words]
    parser = AsyncEngineArgs.add_cli_args(_parser(FlexibleArgumentParser))
    namespace, rest = parser.parse_known_args(own)
    if rest:
        raise UserError(
            f"vLLM has no option {PREFIX}{rest[0].removeprefix('--')}; its own are listed by `vllm serve --help`"
        )
    defaults = vars(parser.parse_args([]))
    return {
        name: value
        for name, value in vars(namespace).items()
        if name in AsyncEngineArgs.__dataclass_fields__ and (name not in defaults or value != defaults[name])
    }


def _parser(kind: Any) -> Any:
    class Parser(kind):  # type: ignore[misc]
        """Raises where argparse would end the program."""

        def error(self, message: str) -> Any:
            raise UserError(f"vLLM's options: {message}")

    return Parser(add_help=False)
