"""Real answers forced through a real vLLM: forked in its core or by requests, or sequentially by plain requests.

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
from apar.bench.answers import BenchAnswer
from apar.bench.model import BenchModel, model_folder_of
from apar.bench.replay import LoadResult, Mode, ReplayAnswer, ReplayResult, fitting, replay_answers
from apar.bench.vllm.engine_setup import EngineSetup
from apar.bench.vllm.pass_log import Pass, PassLog, blocks_held, decoding, pass_logger
from apar.decoding.forced_answer import ForcedAnswer
from apar.decoding.group import Group
from apar.decoding.vocabulary import Vocabulary
from apar.errors import AparError, RunError
from apar.events import Delta, Finished, Forked
from apar.tokens import ControlTokens, TextCodec
from apar.tree import ThreadPath

Forced = tuple[Sequence[int], ForcedAnswer]
"""A prompt's ids, and the answer that is forced after it."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """Answers decoded together, in order, all passes that it took, and the seconds from the first request on."""

    groups: list[Group]
    passes: list[Pass]
    seconds: float


class VllmReplay:
    """A vLLM as a `ReplayEngine`. Use it as a context manager, or close it. `context` is the longest path.

    Passes and KV blocks are counted by vLLM's scheduler, blocks after each pass. The model is of no other use from
    then on: its weights are let go before vLLM loads its own. Raises as `VllmBackend` does.
    """

    def __init__(
        self,
        bench_model: BenchModel,
        control: ControlTokens,
        setup: EngineSetup,
        context: int,
        answers: Sequence[ReplayAnswer] = (),
    ) -> None:
        self.answers = fitting(answers, context) if answers else []
        self.left_out = len(answers) - len(self.answers)
        self.control = control
        self._log = PassLog()
        self._config: Any = None
        self._runner = asyncio.Runner()
        options = setup.engine_options(bench_model, context)
        vocabulary = Vocabulary(_Decoder(bench_model.codec), control, control.eos, given=True)
        with tempfile.TemporaryDirectory(prefix="apar-bench-") as scratch:
            folder = model_folder_of(bench_model, setup.model, Path(scratch))
            bench_model.release()

            async def start() -> VllmBackend:
                return VllmBackend(
                    folder, fork=setup.fork, vocabulary=vocabulary, force=True, stat_loggers=[self._logger], **options
                )

            try:
                self._backend = self._runner.run(start())
            except BaseException:
                self._runner.close()
                raise

    @classmethod
    def of(cls, bench_model: BenchModel, answers: Sequence[BenchAnswer], setup: EngineSetup) -> Self:
        """A vLLM with room for the longest of the answers that fits."""
        control, ready = replay_answers(bench_model, answers)
        context = setup.context(bench_model, max(answer.longest for answer in ready))
        return cls(bench_model, control, setup, context, ready)

    def run_one(self, answer: ReplayAnswer, mode: Mode) -> ReplayResult:
        """Decode an answer alone; nothing of it is in the cache before."""
        decoded = self.decode([(answer.prompt, answer.forced[mode])], 1)
        [group], passes = decoded.groups, decoding(decoded.passes)
        peak, mean = blocks_held(passes)
        return ReplayResult(
            group.ended - group.first_token, len(passes) - 1, group.first_token - group.began, peak, mean
        )

    def run_all(self, mode: Mode, concurrency: int | None) -> LoadResult:
        """Decode all answers, `concurrency` of them at a time; None is all at once."""
        forced = [(answer.prompt, answer.forced[mode]) for answer in self.answers]
        decoded = self.decode(forced, concurrency or len(forced))
        peak, mean = blocks_held(decoded.passes)
        return LoadResult(
            decoded.seconds,
            len(decoded.passes),
            sum(answer.stats.tokens for answer in self.answers),
            tuple(group.ended - group.began for group in decoded.groups),
            peak,
            mean,
            sum(step.resumed for step in decoded.passes),
        )

    def decode(self, forced: Sequence[Forced], concurrency: int) -> Decoded:
        """Decode answers, `concurrency` of them at a time, a new one when one ends; none is in the cache before.

        Raises RunError unless every answer is decoded to the last token.
        """
        decoded = self._runner.run(self._decode(forced, concurrency))
        for (_, answer), group in zip(forced, decoded.groups, strict=True):
            check_answer(answer, group, self.control)
        return decoded

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

    def _logger(self, config: Any, engine: int) -> Any:
        self._config = config
        return pass_logger(self._log, config)

    async def _decode(self, forced: Sequence[Forced], concurrency: int) -> Decoded:
        await self._backend.forget()
        self._log.clear()
        waiting = iter(forced)
        groups: list[Group] = []
        began = time.perf_counter()
        try:
            async with asyncio.TaskGroup() as clients:
                for _ in range(concurrency):
                    clients.create_task(self._ask(waiting, groups))
        except* AparError as failed:
            raise _first(failed) from None
        seconds = time.perf_counter() - began
        return Decoded(groups, await self._log.all(), seconds)

    async def _ask(self, waiting: Iterator[Forced], groups: list[Group]) -> None:
        """One client: it asks for the next answer when it has one."""
        for prompt, answer in waiting:
            group = self._backend.force(prompt, answer)
            groups.append(group)
            async for _ in self._backend.decode(group):
                pass


def check_answer(forced: ForcedAnswer, group: Group, control: ControlTokens) -> None:
    """Raise RunError unless every thread of a decoded answer has the tokens that were forced, to the last one."""
    found: dict[ThreadPath, list[int]] = defaultdict(list)
    for event in group.events:
        if isinstance(event, Delta):
            found[event.thread] += event.token_ids
        elif isinstance(event, Forked):
            found[event.thread].append(control.fork)
        elif isinstance(event, Finished) and event.reason == "eos":
            found[event.thread].append(min(control.eos))
    differing = [
        path for path in forced.threads.keys() | found if tuple(found.get(path, ())) != forced.threads.get(path)
    ]
    if differing:
        raise RunError(f"{group.name} differs from the tokens that were forced, in thread {min(differing)}")


class _Decoder:
    """What is wanted of a tokenizer: text is made of the tokens here, as in any program that shows answers."""

    def __init__(self, codec: TextCodec) -> None:
        self._codec = codec

    def decode(self, ids: list[int], **_: Any) -> str:
        return self._codec.decode(ids)


def _first(failed: BaseExceptionGroup[AparError]) -> BaseException:
    error: BaseException = failed
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
