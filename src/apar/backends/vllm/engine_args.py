"""vLLM's engine arguments: those of the user, and those that forking wants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apar.backends.vllm.control import CONFIG
from apar.errors import UserError
from apar.tokens import ControlTokens

SCHEDULER = "apar.backends.vllm.scheduler.ForkScheduler"
"""For vLLM's option `scheduler_cls`."""

NO_PREFIX_CACHING = (
    "prefix caching is off, and without it every fork would compute its whole prefix again: leave "
    "enable_prefix_caching=False (--no-enable-prefix-caching) out"
)

_FORCED_TOKENS = "apar.backends.vllm.forced_tokens:ForcedTokenProcessor"

CPU_BLOCK = 32
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
    if given.get("enable_prefix_caching") is False:
        raise UserError(NO_PREFIX_CACHING)
    arguments: dict[str, Any] = {"model": source, "scheduling_policy": "priority", **given}
    if current_platform.is_cpu():
        arguments.setdefault("block_size", CPU_BLOCK)
    if core:
        if "scheduler_cls" in arguments:
            raise UserError("forks in the core need a scheduler class of their own: leave scheduler_cls out")
        arguments["scheduler_cls"] = SCHEDULER
    return arguments


def arguments_of_ids(given: Mapping[str, Any], control: ControlTokens | None) -> dict[str, Any]:
    """Engine arguments for a model without a tokenizer: its control tokens are told as ids, prompts are ids too."""
    arguments = {"skip_tokenizer_init": True, **given}
    if control is not None:
        ids = {"fork_id": control.fork, "child_id": control.child}
        arguments["additional_config"] = {**(given.get("additional_config") or {}), CONFIG: ids}
    return arguments


def arguments_to_force(given: Mapping[str, Any]) -> dict[str, Any]:
    """Engine arguments with the logits processor that forces answers."""
    return {**given, "logits_processors": [*(given.get("logits_processors") or ()), _FORCED_TOKENS]}
