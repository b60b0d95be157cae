"""Forking inside vLLM's core: a scheduler class for vLLM's own `scheduler_cls` option.

A child is a request made in the step after its parent's `[Fork]`. It shares its parent's blocks by reference, the
last partial one is copied by vLLM when it is written, and no token of the parent's path is computed again. To the
rest of vLLM the answer is one ordinary request, whose tokens come in reading order: its front, its servers and its
clients need to know nothing of it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vllm import __version__
from vllm.v1.core.kv_cache_manager import KVCacheBlocks
from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.engine import EngineCoreOutput, FinishReason
from vllm.v1.kv_cache_interface import FullAttentionSpec
from vllm.v1.request import Request, RequestStatus

from apar.backends.conductor import Run
from apar.backends.vllm.arguments import NO_PREFIX_CACHING
from apar.backends.vllm.control import control_ids
from apar.backends.vllm.options import ALONE, ForkOptions
from apar.backends.vllm.requests import can_fork, check_words, ends, request_of, restrict
from apar.backends.vllm.tree import CoreTree
from apar.backends.vllm.versions import core_supported
from apar.errors import ModelError, RequestError, RunError
from apar.tokens import ControlTokens

logger = logging.getLogger("vllm.apar")


@dataclass(slots=True)
class ForkCosts:
    """What forks have cost so far: tokens of the parent's path that were found in the cache, and computed again."""

    forks: int = 0
    shared_tokens: int = 0
    recomputed_tokens: int = 0


@dataclass(slots=True)
class _Parent:
    """Whose blocks a new request shares: those of its first `common` tokens, of which `found` were there.

    `opens` says that it begins a thread and does not go on with one.
    """

    request: Request
    common: int
    opens: bool
    found: int = 0


class _Forking(Scheduler if TYPE_CHECKING else object):  # type: ignore[misc]
    """Mixed into a scheduler of vLLM. Every override hands its arguments through: they differ between versions."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._fork_id, self._child_id = control_ids(self.vllm_config)
        if not self.cache_config.enable_prefix_caching:
            raise ModelError(NO_PREFIX_CACHING)
        self._forks_here = core_supported(__version__)
        if not self._forks_here:
            logger.warning(
                "forks in the core are off: vLLM %s is not among the versions they were tested with", __version__
            )
        if self.aux_output_connector is not None or self.return_sampling_mask:
            self._forks_here = False
            logger.warning(
                "forks in the core are off: what a worker tells of a whole sequence cannot be told of threads"
            )
        groups = self.kv_cache_config.kv_cache_groups
        self._shares_blocks = (
            len(groups) == 1
            and type(groups[0].kv_cache_spec) is FullAttentionSpec
            and self.connector is None
            and not self.use_eagle
        )
        # By the id of the request of every run, and of the root until the answer is complete.
        self._trees: dict[str, CoreTree] = {}
        # Of requests without an output yet: whose blocks they share, for how many tokens, and how many were found.
        self._parents: dict[str, _Parent] = {}
        self._invalid: dict[str, str] = {}
        self.costs = ForkCosts()

    # What comes in.

    def add_request(self, request: Request) -> None:
        if request.request_id not in self.requests and request.sampling_params is not None:
            self._prepare(request)
        super().add_request(request)

    def _prepare(self, request: Request) -> None:
        """Ban what may not be sampled, and make the answer a tree if it may fork."""
        try:
            options = ForkOptions.of(request.sampling_params.extra_args)
            check_words(request)
        except RequestError as error:
            self._invalid[request.request_id] = str(error)
            return
        except Exception as error:  # whatever a client made up: in here it would end the engine for all
            self._invalid[request.request_id] = f"{type(error).__name__}: {error}"
            return
        if options.order == ALONE:
            return
        if not (self._forks_here and options.fork and can_fork(request)):
            request.sampling_params = restrict(request.sampling_params, [self._child_id, self._fork_id])
            return
        control = ControlTokens(self._fork_id, self._child_id, ends(request))
        tree = CoreTree(request, options, control, self.max_model_len)
        [run] = tree.orders().begin
        tree.adopt(run)
        self._trees[request.request_id] = tree

    def finish_requests(self, request_ids: Any, finished_status: RequestStatus) -> list[Request]:
        """An end from outside is of the whole answer: of a root too whose own run has ended before."""
        if request_ids is None:
            given, wanted = list(self._trees), None
            self._invalid.clear()
        else:
            given = [request_ids] if isinstance(request_ids, str) else list(request_ids)
            wanted = set(given)
        trees = {self._trees[request] for request in given if request in self._trees}
        for request in given:
            self._invalid.pop(request, None)
        for tree in trees:
            if wanted is not None:
                wanted |= tree.runs.keys()
            self._forget(tree)
        ended: list[Request] = super().finish_requests(wanted, finished_status)
        return ended + self._roots_without_run(trees, {request.request_id for request in ended}, finished_status)

    def _roots_without_run(
        self, trees: set[CoreTree], ended: set[str], finished_status: RequestStatus
    ) -> list[Request]:
        """The roots that vLLM itself does not know any more, and whose clients have yet to be told."""
        roots = [tree.root for tree in trees if tree.root.request_id not in ended]
        for root in roots:
            root.status = finished_status
            if self.finished_req_ids_dict is not None:
                self.finished_req_ids_dict[root.client_index].add(root.request_id)
        return roots

    # What comes out.

    def update_from_output(self, *args: Any, **kwargs: Any) -> Any:
        outputs = super().update_from_output(*args, **kwargs)
        if not self._trees and not self._invalid:
            return outputs
        for eco in list(outputs.values()):
            done = self._gather(eco)
            if eco.finished_requests:
                eco.finished_requests -= {tree.root.request_id for tree in self._trees.values()}
            if self.finished_req_ids_dict is not None:
                eco.finished_requests = (eco.finished_requests or set()) | done
        return outputs

    def _gather(self, eco: Any) -> set[str]:
        """Put the trees' outputs in place of their runs'; return the ids of the answers that are complete."""
        kept: list[EngineCoreOutput] = []
        touched: dict[str, CoreTree] = {}
        for output in eco.outputs:
            tree = self._trees.get(output.request_id)
            if tree is not None:
                touched[tree.root.request_id] = tree
                self._take(tree, output)
            else:
                kept.append(self._checked(output))
        for tree in touched.values():
            self._obey(tree)
            output = tree.emit()
            if output is not None:
                kept.append(output)
            if tree.done:
                self._forget(tree)
        eco.outputs = kept
        return {root for root, tree in touched.items() if tree.done}

    def _take(self, tree: CoreTree, output: EngineCoreOutput) -> None:
        if output.request_id not in tree.runs:  # it was to end
            return
        self._count(self._parents.pop(output.request_id, None))
        if output.finished and output.request_id != tree.root.request_id:
            del self._trees[output.request_id]
        try:
            tree.take(output)
        except RunError as error:
            logger.error("%s: %s", tree.root.request_id, error)
            tree.fail(FinishReason.ERROR)

    def _checked(self, output: EngineCoreOutput) -> EngineCoreOutput:
        """The output of an ordinary request, or the end of one that asked for what there is not."""
        reason = self._invalid.pop(output.request_id, None)
        if reason is None:
            return output
        logger.error("%s: %s", output.request_id, reason)
        if not output.finished:
            super().finish_requests(output.request_id, RequestStatus.FINISHED_ERROR)
        return EngineCoreOutput(output.request_id, [], finish_reason=FinishReason.ERROR)

    def _obey(self, tree: CoreTree) -> None:
        """Carry out the orders of a tree."""
        under_way = dict(tree.runs)
        orders = tree.orders()
        ending = set(orders.end)
        ids = [request for request, run in under_way.items() if run in ending]
        if ids:
            super().finish_requests(ids, RequestStatus.FINISHED_ABORTED)
        for request in ids:
            if request != tree.root.request_id:
                self._trees.pop(request, None)
            self._parents.pop(request, None)
        # Each goes to the head of the queue: the last one first.
        for run in reversed(orders.begin):
            self._begin(tree, run)

    def _begin(self, tree: CoreTree, run: Run) -> None:
        """Queue a request for a run, before those that have yet to begin."""
        request = request_of(tree, run)
        parent = tree.request_of(run.parent)
        if parent is not None:
            # All but the last token, which gives the next one: of a new thread it is its [Child].
            common = len(run.tokens) - 1
            _inherit_hashes(request, parent, common // self.hash_block_size)
            self._parents[request.request_id] = _Parent(parent, common, run.opens)
        else:
            request._block_hasher = tree.root._block_hasher
            request.update_block_hashes()
        tree.enter(run, request)
        self._trees[request.request_id] = tree
        super().add_request(request)
        if self.policy.value == "fcfs" and self.waiting and self.waiting[-1] is request:
            self.waiting.pop()
            self.waiting.prepend_request(request)

    def _forget(self, tree: CoreTree) -> None:
        for request in tree.request_ids():
            self._trees.pop(request, None)
            self._parents.pop(request, None)

    # Whose blocks a new request has.

    def _get_local_prefix_cache_hit(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        parent = self._parents.get(request.request_id)
        if parent is None:
            return super()._get_local_prefix_cache_hit(request, *args, **kwargs)
        hit = self._shared(parent) or super()._get_local_prefix_cache_hit(request, *args, **kwargs)
        parent.found = hit[1]
        return hit

    def _shared(self, parent: _Parent) -> tuple[KVCacheBlocks, int, int, bool] | None:
        """The parent's blocks, the last of them perhaps partial; None where the parent has none any more."""
        request = parent.request
        if not self._shares_blocks or request.status != RequestStatus.RUNNING:
            return None
        # What is counted as computed is written before the step that copies a partial block.
        tokens = min(parent.common, request.num_computed_tokens)
        [blocks] = self.kv_cache_manager.coordinator.get_blocks(request.request_id)
        count = -(-tokens // self.block_size)
        if not 0 < count <= len(blocks):
            return None
        return KVCacheBlocks((list(blocks[:count]),)), tokens, 0, False

    def _count(self, parent: _Parent | None) -> None:
        """A new request has its first output: of a fork, count what it had to compute."""
        if parent is not None and parent.opens:
            self.costs.forks += 1
            self.costs.shared_tokens += parent.found
            # [Fork] itself the parent computes in the same step at best.
            self.costs.recomputed_tokens += max(0, parent.common - 1 - parent.found)


def _inherit_hashes(request: Request, parent: Request, blocks: int) -> None:
    """Give a request the hashes of its first blocks, which are its parent's, and those of the rest."""
    if parent._block_hasher is not None:
        request.block_hashes = parent.block_hashes[:blocks]
        request._block_hasher = parent._block_hasher
        request.update_block_hashes()


class SyncForkScheduler(_Forking, Scheduler):
    """Where every pass waits for the tokens of the last one."""


class AsyncForkScheduler(_Forking, AsyncScheduler):
    """Where a pass is scheduled before the tokens of the last one are known, the default on a GPU."""


class ForkScheduler:
    """The scheduler for vLLM's option `scheduler_cls`: of the two above the one that the configuration asks for."""

    def __new__(cls, vllm_config: Any, *args: Any, **kwargs: Any) -> Any:
        kind = AsyncForkScheduler if vllm_config.scheduler_config.async_scheduling else SyncForkScheduler
        return kind(vllm_config, *args, **kwargs)
