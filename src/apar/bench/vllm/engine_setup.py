"""How a vLLM is started for a benchmark."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vllm.platforms import current_platform

from apar.backends.vllm.engine import ForkWay
from apar.backends.vllm.engine_args import CPU_BLOCK
from apar.bench.model import BenchModel, kv_bytes_per_token
from apar.errors import UserError

_GPU_BLOCK = 16
"""Tokens in a block on a GPU, vLLM's default there."""

_CACHE_SETTINGS = ("kv_cache_memory_bytes", "num_gpu_blocks_override")


@dataclass(frozen=True, slots=True)
class EngineSetup:
    """How the vLLM is to be started.

    `model` is the name that the measured model was loaded by, None for random weights. Of the cache's `blocks`,
    None is as many as `rows` threads at once can need, on a GPU as many as vLLM makes of its memory. `fork` None is the
    backend's own choice; `options` are vLLM's engine arguments and go before all else.
    """

    model: str | None
    blocks: int | None
    rows: int
    fork: ForkWay | None
    options: Mapping[str, Any]

    def __post_init__(self) -> None:
        if int(self.options.get("data_parallel_size") or 1) > 1:
            raise UserError("one vLLM is measured: leave data_parallel_size out")
        if self.blocks is not None and any(name in self.options for name in _CACHE_SETTINGS):
            raise UserError("the size of the cache is given twice: leave --num-blocks out, or vLLM's own option")

    @property
    def block_size(self) -> int:
        """Tokens in a block."""
        return int(self.options.get("block_size") or (CPU_BLOCK if current_platform.is_cpu() else _GPU_BLOCK))

    def context(self, bench_model: BenchModel, longest: int) -> int:
        """Tokens of the longest path that vLLM is to take: no more than answers have, the model takes, and fit."""
        given = self.options.get("max_model_len")
        limits = [longest + 1, int(bench_model.model.config.max_position_embeddings)]
        if self.blocks is not None:
            limits.append(self.blocks * self.block_size)
        return min(limits) if given is None else int(given)

    def engine_options(self, bench_model: BenchModel, context: int) -> dict[str, Any]:
        """vLLM's engine arguments."""
        options: dict[str, Any] = {
            "dtype": str(bench_model.model.dtype).removeprefix("torch."),
            "max_model_len": context,
            "max_num_seqs": self.rows,
            "block_size": self.block_size,
            "disable_log_stats": True,
            "seed": 0,
        }
        return options | self._cache(bench_model, context) | dict(self.options)

    def _cache(self, bench_model: BenchModel, context: int) -> dict[str, Any]:
        """The size of the cache; vLLM keeps one block for itself."""
        blocks = self.blocks
        if blocks is None:
            if not current_platform.is_cpu() or any(name in self.options for name in _CACHE_SETTINGS):
                return {}
            blocks = self.rows * -(-context // self.block_size)
        cache: dict[str, Any] = {"num_gpu_blocks_override": blocks + 1}
        if current_platform.is_cpu() and "VLLM_CPU_KVCACHE_SPACE" not in os.environ:
            cache["kv_cache_memory_bytes"] = (blocks + 1) * self.block_size * kv_bytes_per_token(bench_model.model)
        return cache
