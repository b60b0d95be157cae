"""A real vLLM that tells given answers: forked in its core or by requests, or sequentially by plain requests.

The vLLM has a process of its own, as in any program that serves with it; times are those of this process, which asks.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from apar.backends.vllm.engine import VllmBackend
from apar.backends.vllm.versions import require_vllm
from apar.bench.codec import Codec
from apar.bench.passes import Pass, Passes
from apar.bench.target import Target, model_folder_of
from apar.bench.vllm_passes import PassLogger
from apar.bench.vllm_plan import VllmPlan
from apar.decoding.forced_answer import ForcedAnswer
from apar.decoding.group import Group
from apar.decoding.vocabulary import Vocabulary
from apar.errors import AparError, RunError
from apar.events import Delta, Finished, Forked
from apar.tokens import ControlTokens
from apar.tree import Path as ThreadPath

Scripted = tuple[Sequence[int], ForcedAnswer]
"""A prompt's ids, and what is to be said to it."""


@dataclass(frozen=True, slots=True)
class Told:
    """Answers decoded together, in order, all passes that it took, and the seconds from the first request on."""

    groups: list[Group]
    passes: list[Pass]
    seconds: float


class VllmTeller:
    """Use it as a context manager, or close it. `context` is the longest path.

    The target is of no other use from then on: its weights are let go before vLLM loads its own. Raises as
    `VllmBackend` does.
    """

    def __init__(self, target: Target, control: ControlTokens, plan: VllmPlan, context: int) -> None:
        self._control = control
        self._passes = Passes()
        self._config: Any = None
        self._runner = asyncio.Runner()
        options = plan.engine_options(target, context)
        vocabulary = Vocabulary(_Decoder(target.codec), control, control.eos, given=True)
        with tempfile.TemporaryDirectory(prefix="apar-bench-") as scratch:
            folder = model_folder_of(target, plan.model, Path(scratch))
            target.release()

            async def start() -> VllmBackend:
                return VllmBackend(
                    folder, fork=plan.fork, vocabulary=vocabulary, scripts=True, stat_loggers=[self._logger], **options
                )

            try:
                self._backend = self._runner.run(start())
            except BaseException:
                self._runner.close()
                raise

    def tell(self, scripted: Sequence[Scripted], concurrency: int) -> Told:
        """Decode answers, `concurrency` of them at a time, a new one when one ends; none is in the cache before.

        Raises RunError unless every answer is told to the last token.
        """
        told = self._runner.run(self._tell(scripted, concurrency))
        for (_, script), group in zip(scripted, told.groups, strict=True):
            check_told(script, group, self._control)
        return told

    def facts(self) -> dict[str, Any]:
        """Which engine it is and how it was set up, for the report."""
        cache, model = self._config.cache_config, self._config.model_config
        return {
            "name": str(require_vllm()),
            "fork": self._backend.fork,
            "kv_blocks": cache.num_gpu_blocks - 1,
            "block_size": cache.block_size,
            "context": model.max_model_len,
            "eager": bool(model.enforce_eager),
        }

    def close(self) -> None:
        """End vLLM. May be called again."""
        self._backend.close()
        self._runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _logger(self, config: Any, engine: int) -> PassLogger:
        self._config = config
        return PassLogger(self._passes, config)

    async def _tell(self, scripted: Sequence[Scripted], concurrency: int) -> Told:
        await self._backend.forget()
        self._passes.clear()
        waiting = iter(scripted)
        groups: list[Group] = []
        began = time.perf_counter()
        try:
            async with asyncio.TaskGroup() as clients:
                for _ in range(concurrency):
                    clients.create_task(self._ask(waiting, groups))
        except* AparError as failed:
            raise _first(failed) from None
        seconds = time.perf_counter() - began
        return Told(groups, await self._passes.all(), seconds)

    async def _ask(self, waiting: Iterator[Scripted], groups: list[Group]) -> None:
        """One client: it asks for the next answer when it has one."""
        for prompt, script in waiting:
            group = self._backend.scripted(prompt, script)
            groups.append(group)
            async for _ in self._backend.decode(group):
                pass


def check_told(script: ForcedAnswer, group: Group, control: ControlTokens) -> None:
    """Raise RunError unless every thread of a decoded answer has said what its script says, to the last token."""
    told: dict[ThreadPath, list[int]] = defaultdict(list)
    for event in group.events:
        if isinstance(event, Delta):
            told[event.thread] += event.token_ids
        elif isinstance(event, Forked):
            told[event.thread].append(control.fork)
        elif isinstance(event, Finished) and event.reason == "eos":
            told[event.thread].append(min(control.eos))
    differing = [path for path in script.threads.keys() | told if tuple(told.get(path, ())) != script.threads.get(path)]
    if differing:
        raise RunError(f"{group.name} was not told as its script says, in thread {min(differing)}")


class _Decoder:
    """What is wanted of a tokenizer: text is made of the tokens here, as in any program that shows answers."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec

    def decode(self, ids: list[int], **_: Any) -> str:
        return self._codec.decode(ids)


def _first(failed: BaseExceptionGroup[AparError]) -> BaseException:
    error: BaseException = failed
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
