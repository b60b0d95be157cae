"""How many blocks of keys and values the cache has: by what is asked for and by what is free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from apar.engine.cache import CacheShape
from apar.errors import ModelError, RequestError
from apar.models.memory import free_bytes, memory_for
from apar.sizes import parse_bytes, show_bytes

_GPU_SHARE = 0.8
"""Of the memory that is free once the model is loaded; the rest is for what a pass computes."""

_CPU_SHARE = 0.5
_CPU_BYTES = 2 << 30
"""Host memory is shared with everything else, and it is only touched as far as it is used."""

_SMALLEST_CONTEXT = 256
"""Tokens. A cache chosen by its bytes that holds less serves no useful request."""


@dataclass(frozen=True, slots=True)
class CacheBudget:
    """How large the cache of keys and values may be.

    It has `num_blocks` blocks of `block_size` tokens; or as many as fit into `kv_memory`, in bytes or as
    "2GiB"; or, with neither, into what is free now: half of it on the CPU and 2 GiB at most, 80 % on a GPU.
    It never takes more than `max_rows` whole contexts, unless told by `num_blocks`.
    Raises RequestError for sizes that mean nothing.
    """

    block_size: int = 16
    num_blocks: int | None = None
    kv_memory: int | str | None = None
    max_rows: int = 64

    def __post_init__(self) -> None:
        for name in ("block_size", "num_blocks", "max_rows"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise RequestError(f"{name} is {value}; it must be at least 1")
        if self.kv_memory is not None:
            if self.num_blocks is not None:
                raise RequestError("num_blocks and kv_memory both size the cache; give one of them")
            parse_bytes(self.kv_memory, "kv_memory")

    def blocks_for(self, model: Any) -> int:
        """The number of blocks for a loaded Hugging Face model.

        Raises ModelError if they are more than the memory that is free, or hold no useful context.
        """
        block = CacheShape.of(model.config).bytes_per_token(model.dtype) * self.block_size
        free = free_bytes(model.device)
        if self.num_blocks is not None:
            _check_free(self.num_blocks * block, free, f"num_blocks={self.num_blocks}")
            return self.num_blocks
        wanted = (
            default_bytes(model.device, free) if self.kv_memory is None else parse_bytes(self.kv_memory, "kv_memory")
        )
        context = int(model.config.max_position_embeddings)
        blocks = min(wanted // block, self._blocks(context) * self.max_rows)
        self._check_useful(wanted, blocks, block, min(context, _SMALLEST_CONTEXT))
        if self.kv_memory is not None:
            _check_free(blocks * block, free, f"kv_memory={self.kv_memory}")
        return blocks

    def _blocks(self, tokens: int) -> int:
        return -(-tokens // self.block_size)

    def _check_useful(self, wanted: int, blocks: int, block_bytes: int, least: int) -> None:
        """Raise ModelError if `blocks`, which is what `wanted` bytes hold, have fewer than `least` tokens."""
        needed = self._blocks(least)
        if blocks < needed:
            raise ModelError(
                f"{show_bytes(wanted)} for keys and values hold {blocks * self.block_size} tokens, and {least} tokens "
                f"take {show_bytes(needed * block_bytes)}; set kv_memory to more, load the model with dtype bfloat16, "
                "or use a device with more free memory"
            )


def _check_free(wanted: int, free: int, name: str) -> None:
    if wanted > free:
        raise ModelError(
            f"{name} is a cache of {show_bytes(wanted)}, and {show_bytes(free)} are free; "
            "give less, or leave it out for a cache that fits"
        )


def default_bytes(device: torch.device, free: int) -> int:
    """What the cache may take of `free` bytes where nothing is said."""
    return int(free * _GPU_SHARE) if device.type == "cuda" else min(_CPU_BYTES, int(free * _CPU_SHARE))


def memory_for_cache(blocks: int, block_size: int) -> Any:
    """`memory_for` while the cache is allocated."""
    what = f"a cache of {blocks} blocks of {block_size} tokens"
    return memory_for(what, "set num_blocks or kv_memory to less, or load the model with dtype bfloat16 or quantize")
