"""What a vLLM says of each of its passes, counted by its own scheduler."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from apar.errors import RunError

_PATIENCE = 30.0
"""Seconds to wait for what vLLM says of a pass whose tokens came already."""


@dataclass(frozen=True, slots=True)
class Pass:
    """One step of vLLM's core: a schedule, a forward pass, and what became of it.

    `reported` is when its figures came to this process (time.perf_counter). After the pass `requests` were running or
    waiting, each thread one of its own, and `blocks` were held by them. `had_output` says that there was output for
    this process, of which `tokens` are sampled ones. `admitted` requests began in it and looked for
    `queried` tokens in the cache, of which `found` were there; `resumed` began again after they had lost their blocks.
    """

    reported: float
    requests: int
    blocks: int
    had_output: bool
    tokens: int
    admitted: int
    queried: int
    found: int
    resumed: int

    @classmethod
    def of(cls, scheduler: Any, iteration: Any, blocks: int) -> Pass:
        """From vLLM's `SchedulerStats` and `IterationStats` (None for a pass without output); `blocks` are all."""
        cache = scheduler.prefix_cache_stats
        return cls(
            reported=time.perf_counter(),
            requests=scheduler.num_running_reqs + scheduler.num_waiting_reqs + scheduler.num_skipped_waiting_reqs,
            blocks=round(scheduler.kv_cache_usage * blocks),
            had_output=iteration is not None,
            tokens=0 if iteration is None else iteration.num_generation_tokens,
            admitted=cache.requests,
            queried=cache.queries,
            found=cache.hits,
            resumed=cache.preempted_requests,
        )


class PassLog:
    """The passes since the last `clear`."""

    def __init__(self) -> None:
        self._passes: list[Pass] = []

    def add(self, step: Pass) -> None:
        """Add a pass; one that had nothing to do, in which vLLM only lets finished requests go, is none."""
        if step.requests or step.had_output:
            self._passes.append(step)

    def clear(self) -> None:
        self._passes.clear()

    async def all(self) -> list[Pass]:
        """The passes up to the one after which nothing is left to do.

        Raises RunError where vLLM does not tell of it.
        """
        deadline = time.perf_counter() + _PATIENCE
        while not self._passes or self._passes[-1].requests:
            if time.perf_counter() > deadline:
                raise RunError("vLLM has answered, and does not tell of its last pass")
            await asyncio.sleep(0.001)
        return list(self._passes)


def pass_logger(log: PassLog, vllm_config: Any) -> Any:
    """A stat logger for vLLM that adds every pass to `log`."""
    from vllm.v1.metrics.loggers import StatLoggerBase

    class PassLogger(StatLoggerBase):
        def __init__(self, vllm_config: Any, engine_index: int = 0) -> None:
            self._cache = vllm_config.cache_config

        def record(self, scheduler_stats: Any, iteration_stats: Any, *_: Any, **__: Any) -> None:
            if scheduler_stats is not None:
                # One block is nobody's, and vLLM's share is of the others.
                log.add(Pass.of(scheduler_stats, iteration_stats, self._cache.num_gpu_blocks - 1))

        def log_engine_initialized(self) -> None:
            pass

    return PassLogger(vllm_config)


def decoding(passes: Sequence[Pass]) -> Sequence[Pass]:
    """The passes of one answer from the one on that samples its first token; at least one."""
    first = next(number for number, step in enumerate(passes) if step.tokens)
    return passes[first:]


def blocks_held(passes: Sequence[Pass]) -> tuple[int, float]:
    """The most blocks held after a pass, and the mean; the last pass, after which none are, counts for neither."""
    held = [step.blocks for step in passes[:-1]] or [0]
    return max(held), statistics.fmean(held)
