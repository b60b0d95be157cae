"""Scripted answers in vLLM: a logits processor leaves every thread one choice, the token that its script has next.

The forward pass and the sampler do all their work. The script travels with the request, as extra arguments: that of
the whole answer where the core forks, that of its own thread with each request where the client does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor
from vllm.v1.sample.logits_processor.builtin import process_dict_updates

from apar.backends.conductor import Run
from apar.backends.vllm.options import SAMPLED, SCRIPT, THREAD
from apar.engine.script import Script
from apar.tree import ROOT, Path

# So far above every other logit that nothing is left for those, and finite after a division by any temperature.
_CERTAIN = 1e30

_Place = tuple[Sequence[int], int, list[int]]
"""A thread's script, how many of its tokens came before the request, and those that came since: vLLM adds to them."""


def tree_arguments(script: Script) -> dict[str, Any]:
    """The extra arguments of a whole answer, whose threads the core decodes."""
    return {SCRIPT: {_name(path): list(ids) for path, ids in script.threads.items()}}


def thread_arguments(script: Script, run: Run) -> dict[str, Any]:
    """The extra arguments of a run as a request of its own."""
    thread = {_name(run.thread): list(script.threads[run.thread])}
    return {SCRIPT: thread, THREAD: list(run.thread), SAMPLED: run.sampled}


class ScriptProcessor(LogitsProcessor):
    """For requests with a script. Others cost nothing; a script that is at its end leaves the choice to the model."""

    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
        self._places: dict[int, _Place] = {}
        self._device = device

    @classmethod
    def validate_params(cls, sampling_params: Any) -> None:
        """Raise ValueError for a script that is none."""
        arguments = sampling_params.extra_args or {}
        script = arguments.get(SCRIPT, {})
        if not isinstance(script, dict) or not all(_are_ids(ids) for ids in script.values()):
            raise ValueError(f"{SCRIPT} is not an object that has for every thread, as 0.1, the list of its token ids")

    def is_argmax_invariant(self) -> bool:
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        process_dict_updates(self._places, batch_update, _place)

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Raise the logit of each scripted row's token, in place; `[rows, vocabulary]`."""
        if not self._places:
            return logits
        rows, tokens = [], []
        for row, (ids, before, output) in self._places.items():
            index = before + len(output)
            if index < len(ids):
                rows.append(row)
                tokens.append(ids[index])
        if rows:
            at = torch.tensor((rows, tokens), device=self._device)
            logits[at[0], at[1]] = _CERTAIN
        return logits


def _place(params: Any, prompt: list[int] | None, output: list[int]) -> _Place | None:
    """The place in its script of a request that enters the batch; None where it has none."""
    arguments = params.extra_args
    if not arguments or SCRIPT not in arguments:
        return None
    ids = arguments[SCRIPT].get(_name(arguments.get(THREAD, ROOT)))
    return None if ids is None else (ids, int(arguments.get(SAMPLED, 0)), output)


def _name(path: Path | Sequence[int]) -> str:
    """A thread's path as a key that every encoding takes."""
    return ".".join(map(str, path))


def _are_ids(ids: Any) -> bool:
    return isinstance(ids, list) and all(isinstance(one, int) and one >= 0 for one in ids)
