"""Whose blocks a new thread's request begins with: its parent's, shared by reference, the last one copied on write.

vLLM finds cached blocks by hashes of full ones. What it does with a hit that ends within a block (it is there for
models of other kinds) serves a fork: the blocks are counted once more, and the partial one is copied when the child
writes into it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vllm.v1.core.kv_cache_manager import KVCacheBlocks
from vllm.v1.kv_cache_interface import FullAttentionSpec
from vllm.v1.request import Request, RequestStatus

Hit = tuple[KVCacheBlocks, int, int, bool]
"""Blocks, how many tokens they hold, and two things that are of other models only."""


@dataclass(slots=True)
class ForkCosts:
    """What forks have cost so far: tokens of the parent's path that had to be computed again."""

    forks: int = 0
    recomputed_tokens: int = 0


@dataclass(slots=True)
class _PendingChild:
    """A request that has no output yet: its first `common` tokens are its parent's, and `found` of them were there.

    `opens` says that it begins a thread and does not go on with one.
    """

    parent: Request
    common: int
    opens: bool
    found: int = 0


class BlockHandover:
    """The requests that are to begin with blocks of others, until they have their first output."""

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler
        self._pending: dict[str, _PendingChild] = {}
        self.costs = ForkCosts()
        groups = scheduler.kv_cache_config.kv_cache_groups
        self._directly = (
            len(groups) == 1
            and type(groups[0].kv_cache_spec) is FullAttentionSpec
            and scheduler.connector is None
            and not scheduler.use_eagle
        )

    def __len__(self) -> int:
        return len(self._pending)

    def enter(self, request: Request, parent: Request, opens: bool) -> None:
        """A request's tokens begin with its parent's: all but the last one, which gives the next."""
        common = request.num_tokens - 1
        if parent._block_hasher is not None:
            request.block_hashes = parent.block_hashes[: common // self._scheduler.hash_block_size]
            request._block_hasher = parent._block_hasher
            request.update_block_hashes()
        self._pending[request.request_id] = _PendingChild(parent, common, opens)

    def hit(self, request: Request) -> Hit | None:
        """The parent's blocks, the last of them perhaps partial; None where it has none (any more) to share."""
        child = self._pending.get(request.request_id)
        if child is None or not self._directly or child.parent.status != RequestStatus.RUNNING:
            return None
        # What is counted as computed is written before the step that copies a partial block.
        tokens = min(child.common, child.parent.num_computed_tokens)
        scheduler = self._scheduler
        [blocks] = scheduler.kv_cache_manager.coordinator.get_blocks(child.parent.request_id)
        count = -(-tokens // scheduler.block_size)
        if not 0 < count <= len(blocks):
            return None
        return KVCacheBlocks((list(blocks[:count]),)), tokens, 0, False

    def note_found(self, request: Request, tokens: int) -> None:
        """So many tokens of a request were found, by a hit of ours or of vLLM's."""
        if (child := self._pending.get(request.request_id)) is not None:
            child.found = tokens

    def on_first_output(self, request_id: str) -> None:
        """A request has its first output: if it is a fork's, count what it had to compute."""
        child = self._pending.pop(request_id, None)
        if child is not None and child.opens:
            self.costs.forks += 1
            # [Fork] itself the parent computes in the same step at best.
            self.costs.recomputed_tokens += max(0, child.common - 1 - child.found)

    def forget(self, request_id: str) -> None:
        """A request has ended, or its answer has."""
        self._pending.pop(request_id, None)
