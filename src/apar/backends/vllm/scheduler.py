"""Forking inside vLLM's core: a scheduler class for vLLM's own `scheduler_cls` option.

A child is a request made in the step after its parent's `[Fork]`. It shares its parent's blocks by reference, the
last partial one is copied by vLLM when it is written, and no token of the parent's path is computed again. To the
rest of vLLM the answer is one ordinary request, whose tokens come in reading order: its front, its servers and its
clients need to know nothing of it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from vllm import __version__
from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.interface import PauseState
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.engine import EngineCoreOutput, FinishReason
from vllm.v1.request import Request, RequestStatus

from apar.backends.vllm.block_handover import BlockHandover, ForkCosts
from apar.backends.vllm.control import control_ids
from apar.backends.vllm.engine_args import NO_PREFIX_CACHING
from apar.backends.vllm.forked_request import ForkedRequest
from apar.backends.vllm.request_options import ALONE, ForkOptions
from apar.backends.vllm.thread_requests import can_fork, check_words, ends, request_of, restrict
from apar.backends.vllm.versions import core_supported
from apar.decoding.coordinator import SequenceRequest
from apar.errors import ModelError, RequestError, RunError
from apar.tokens import ControlTokens

logger = logging.getLogger("vllm.apar")


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
        # By the id of the request of every run, and of the root until the answer is complete.
        self._forked: dict[str, ForkedRequest] = {}
        self._handover = BlockHandover(self)
        # Requests that ask for what there is not, and what that is.
        self._invalid: dict[str, str] = {}

    @property
    def costs(self) -> ForkCosts:
        """What forks have cost so far."""
        return self._handover.costs

    # What comes in.

    def add_request(self, request: Request) -> None:
        """Queue a request of a client, as a forked one if it may fork."""
        if request.request_id not in self.requests and request.sampling_params is not None:
            self._prepare(request)
        super().add_request(request)

    def _prepare(self, request: Request) -> None:
        """Ban what may not be sampled, and make a forked answer of it if it may fork."""
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
        forked = ForkedRequest(request, options, control, self.max_model_len)
        [run] = forked.actions().start
        forked.adopt(run)
        self._forked[request.request_id] = forked

    def finish_requests(self, request_ids: Any, finished_status: RequestStatus) -> list[Request]:
        """An end from outside is of the whole answer: of a root too whose own run has ended before."""
        if request_ids is None:
            given, wanted = list(self._forked), None
            self._invalid.clear()
        else:
            given = [request_ids] if isinstance(request_ids, str) else list(request_ids)
            wanted = set(given)
        answers = {self._forked[request] for request in given if request in self._forked}
        for request in given:
            self._invalid.pop(request, None)
        for forked in answers:
            if wanted is not None:
                wanted |= forked.runs.keys()
            self._forget(forked)
        ended: list[Request] = super().finish_requests(wanted, finished_status)
        return ended + self._roots_without_run(answers, {request.request_id for request in ended}, finished_status)

    def _roots_without_run(
        self, answers: set[ForkedRequest], ended: set[str], finished_status: RequestStatus
    ) -> list[Request]:
        """The roots that vLLM itself does not know any more, and whose clients have yet to be told."""
        roots = [forked.root for forked in answers if forked.root.request_id not in ended]
        for root in roots:
            root.status = finished_status
            if self.finished_req_ids_dict is not None:
                self.finished_req_ids_dict[root.client_index].add(root.request_id)
        return roots

    # What comes out.

    def update_from_output(self, *args: Any, **kwargs: Any) -> Any:
        """Take in a pass; of the outputs that vLLM makes of it, those of an answer's runs become one of its root."""
        outputs = super().update_from_output(*args, **kwargs)
        if not self._forked and not self._invalid:
            return outputs
        for eco in list(outputs.values()):
            done = self._gather(eco)
            if eco.finished_requests:
                eco.finished_requests -= {forked.root.request_id for forked in self._forked.values()}
            if self.finished_req_ids_dict is not None:
                eco.finished_requests = (eco.finished_requests or set()) | done
        return outputs

    def _gather(self, eco: Any) -> set[str]:
        """Put the answers' outputs in place of their runs'; return the ids of the answers that are complete."""
        kept: list[EngineCoreOutput] = []
        touched: dict[str, ForkedRequest] = {}
        for output in eco.outputs:
            forked = self._forked.get(output.request_id)
            if forked is not None:
                touched[forked.root.request_id] = forked
                self._on_output(forked, output)
            else:
                kept.append(self._checked(output))
        for forked in touched.values():
            self._apply(forked)
            output = forked.emit()
            if output is not None:
                kept.append(output)
            if forked.done:
                self._forget(forked)
        eco.outputs = kept
        return {root for root, forked in touched.items() if forked.done}

    def _on_output(self, forked: ForkedRequest, output: EngineCoreOutput) -> None:
        if output.request_id not in forked.runs:  # it was to end
            return
        self._handover.on_first_output(output.request_id)
        if output.finished and output.request_id != forked.root.request_id:
            del self._forked[output.request_id]
        try:
            forked.on_output(output)
        except RunError as error:
            logger.error("%s: %s", forked.root.request_id, error)
            forked.fail(FinishReason.ERROR)

    def _checked(self, output: EngineCoreOutput) -> EngineCoreOutput:
        """The output of an ordinary request, or the end of one that asked for what there is not."""
        reason = self._invalid.pop(output.request_id, None)
        if reason is None:
            return output
        logger.error("%s: %s", output.request_id, reason)
        if not output.finished:
            super().finish_requests(output.request_id, RequestStatus.FINISHED_ERROR)
        return EngineCoreOutput(output.request_id, [], finish_reason=FinishReason.ERROR)

    def _apply(self, forked: ForkedRequest) -> None:
        """Abort and start what the coordinator of an answer says."""
        under_way = dict(forked.runs)
        actions = forked.actions()
        ending = set(actions.abort)
        ids = [request for request, run in under_way.items() if run in ending]
        if ids:
            super().finish_requests(ids, RequestStatus.FINISHED_ABORTED)
        for request in ids:
            if request != forked.root.request_id:
                self._forked.pop(request, None)
            self._handover.forget(request)
        # Each goes to the head of the queue: the last one first.
        for run in reversed(actions.start):
            self._begin(forked, run)

    def _begin(self, forked: ForkedRequest, run: SequenceRequest) -> None:
        """Queue a request for a run, before those that have yet to begin."""
        request = request_of(forked.root, run, forked.params_of(run))
        parent = forked.request_of(run.parent)
        if parent is not None:
            self._handover.enter(request, parent, run.opens)
        else:
            request._block_hasher = forked.root._block_hasher
            request.update_block_hashes()
        forked.enter(run, request)
        self._forked[request.request_id] = forked
        super().add_request(request)
        if self.pause_state == PauseState.PAUSED_NEW:
            self._go_on_paused([request])
        elif self.policy.value == "fcfs" and self.waiting and self.waiting[-1] is request:
            self.waiting.pop()
            self.waiting.prepend_request(request)

    def set_pause_state(self, pause_state: PauseState) -> None:
        """Paused for new requests, vLLM lets those under way come to their end: so do all threads of theirs."""
        super().set_pause_state(pause_state)
        if pause_state == PauseState.PAUSED_NEW:
            begun = {forked.root.request_id for forked in self._forked.values() if forked.group.step}
            self._go_on_paused(
                [
                    request
                    for request in self.waiting
                    if request.request_id in self._forked and self._forked[request.request_id].root.request_id in begun
                ]
            )

    def _go_on_paused(self, requests: list[Request]) -> None:
        """Queue requests where vLLM has those that it still runs while it is paused."""
        self.waiting.remove_requests(requests)
        for request in requests:
            self.kv_holding_waiting.add_request(request)

    def _forget(self, forked: ForkedRequest) -> None:
        for request in forked.request_ids():
            self._forked.pop(request, None)
            self._handover.forget(request)

    # Whose blocks a new request has.

    def _get_local_prefix_cache_hit(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        hit = self._handover.hit(request) or super()._get_local_prefix_cache_hit(request, *args, **kwargs)
        self._handover.note_found(request, hit[1])
        return hit


class SyncForkScheduler(_Forking, Scheduler):
    """Where every pass waits for the tokens of the last one."""


class AsyncForkScheduler(_Forking, AsyncScheduler):
    """Where a pass is scheduled before the tokens of the last one are known, the default on a GPU."""


class ForkScheduler:
    """The scheduler for vLLM's option `scheduler_cls`: of the two above the one that the configuration asks for."""

    def __new__(cls, vllm_config: Any, *args: Any, **kwargs: Any) -> Any:
        kind = AsyncForkScheduler if vllm_config.scheduler_config.async_scheduling else SyncForkScheduler
        return kind(vllm_config, *args, **kwargs)
