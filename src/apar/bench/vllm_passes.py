"""A stat logger of vLLM that keeps what it hears."""

from __future__ import annotations

from typing import Any

from vllm.v1.metrics.loggers import StatLoggerBase

from apar.bench.passes import Pass, Passes


class PassLogger(StatLoggerBase):
    """For vLLM's `stat_loggers`: `lambda config, engine: PassLogger(passes, config)`."""

    def __init__(self, passes: Passes, vllm_config: Any) -> None:
        self._passes, self._config = passes, vllm_config

    def record(
        self, scheduler_stats: Any, iteration_stats: Any, mm_cache_stats: Any = None, engine_idx: int = 0
    ) -> None:
        if scheduler_stats is not None:
            # One block is nobody's, and vLLM's share is of the others.
            blocks = self._config.cache_config.num_gpu_blocks - 1
            self._passes.add(Pass.of(scheduler_stats, iteration_stats, blocks))

    def log_engine_initialized(self) -> None:
        pass
