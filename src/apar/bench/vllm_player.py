"""Real answers forced through a real vLLM, forked in its core or by requests, and sequentially by plain requests.

The vLLM has a process of its own, as in any program that serves with it; times are those of this process, which asks.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from apar.backends.vllm.engine import VllmBackend
from apar.backends.vllm.versions import require_vllm
from apar.backends.vocabulary import Vocabulary
from apar.bench.answers import BenchAnswer
from apar.bench.codec import Codec
from apar.bench.passes import Pass, Passes, blocks_held, decoding
from apar.bench.replay import Load, Run
from apar.bench.scripted import Mode, ScriptedAnswer, check_told, fitting, scripted_answers
from apar.bench.target import Target, model_folder_of
from apar.bench.vllm_passes import PassLogger
from apar.bench.vllm_plan import VllmPlan
from apar.engine.sequence import Group
from apar.errors import AparError


@dataclass(frozen=True, slots=True)
class Told:
    """Answers decoded together, in order, and all passes that it took."""

    groups: list[Group]
    passes: list[Pass]
    seconds: float


class VllmPlayer:
    """A vLLM as a `Player`. Use it as a context manager, or close it.

    The target is of no other use from then on: its weights are let go before vLLM loads its own. Passes and KV blocks
    are counted by vLLM's scheduler, blocks after each pass. A run is checked: where an answer was not told to the
    last token, RunError is raised.
    """

    def __init__(self, target: Target, answers: Sequence[BenchAnswer], plan: VllmPlan) -> None:
        self.control, scripted = scripted_answers(target, answers)
        context = plan.context(target, max(answer.longest for answer in scripted))
        self.answers = fitting(scripted, context)
        self.left_out = len(scripted) - len(self.answers)
        self._passes = Passes()
        self._config: Any = None
        self._runner = asyncio.Runner()
        try:
            self.backend = self._start(target, plan, context)
        except BaseException:
            self._runner.close()
            raise

    def _start(self, target: Target, plan: VllmPlan, context: int) -> VllmBackend:
        options = plan.engine_options(target, context)
        vocabulary = Vocabulary(_Decoder(target.codec), self.control, self.control.eos, given=True)
        with tempfile.TemporaryDirectory(prefix="apar-bench-") as scratch:
            folder = model_folder_of(target, plan.model, Path(scratch))
            target.release()

            async def start() -> VllmBackend:
                return VllmBackend(
                    folder,
                    fork=plan.fork,
                    vocabulary=vocabulary,
                    scripts=True,
                    stat_loggers=[self._logger],
                    **options,
                )

            return self._runner.run(start())

    def tell(self, answer: ScriptedAnswer, mode: Mode) -> Run:
        """Decode an answer alone; nothing of it is in the cache before."""
        told = self.tell_together([answer], mode, 1)
        [group], passes = told.groups, decoding(told.passes)
        peak, mean = blocks_held(passes)
        seconds = group.ended - group.first_token
        return Run(seconds, len(passes) - 1, group.first_token - group.began, peak, mean)

    def tell_all(self, mode: Mode, concurrency: int | None) -> Load:
        """Decode all answers, `concurrency` of them at a time; None is all at once."""
        told = self.tell_together(self.answers, mode, concurrency or len(self.answers))
        peak, mean = blocks_held(told.passes)
        return Load(
            told.seconds,
            len(told.passes),
            sum(answer.stats.tokens for answer in self.answers),
            tuple(group.ended - group.began for group in told.groups),
            peak,
            mean,
            sum(one.resumed for one in told.passes),
        )

    def tell_together(self, answers: Sequence[ScriptedAnswer], mode: Mode, concurrency: int) -> Told:
        """Decode answers, `concurrency` of them at a time; nothing of them is in the cache before."""
        told = self._runner.run(self._tell(answers, mode, concurrency))
        for answer, group in zip(answers, told.groups, strict=True):
            check_told(answer, mode, group, self.control)
        return told

    def facts(self) -> dict[str, Any]:
        """Which engine it is and how it was set up, for the report."""
        cache, model = self._config.cache_config, self._config.model_config
        return {
            "name": str(require_vllm()),
            "fork": self.backend.fork,
            "kv_blocks": cache.num_gpu_blocks - 1,
            "block_size": cache.block_size,
            "context": model.max_model_len,
            "eager": bool(model.enforce_eager),
        }

    def _logger(self, config: Any, engine: int) -> PassLogger:
        self._config = config
        return PassLogger(self._passes, config)

    async def _tell(self, answers: Sequence[ScriptedAnswer], mode: Mode, concurrency: int) -> Told:
        await self.backend.forget()
        self._passes.clear()
        waiting = iter(answers)
        groups: list[Group] = []
        began = time.perf_counter()
        try:
            async with asyncio.TaskGroup() as clients:
                for _ in range(concurrency):
                    clients.create_task(self._ask(waiting, mode, groups))
        except* AparError as failed:
            raise _first(failed) from None
        seconds = time.perf_counter() - began
        return Told(groups, await self._passes.all(), seconds)

    async def _ask(self, waiting: Iterator[ScriptedAnswer], mode: Mode, groups: list[Group]) -> None:
        """One client: it asks for the next answer when it has one."""
        for answer in waiting:
            group = self.backend.scripted(answer.prompt, answer.scripts[mode])
            groups.append(group)
            async for _ in self.backend.decode(group):
                pass

    def close(self) -> None:
        """End vLLM. May be called again."""
        self.backend.close()
        self._runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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
