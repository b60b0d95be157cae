"""One answer inside vLLM's core: what its threads' outputs make, as the output of one ordinary request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from vllm import SamplingParams as VllmParams
from vllm.v1.engine import EngineCoreOutput, FinishReason
from vllm.v1.outputs import LogprobsLists
from vllm.v1.request import Request

from apar.assemble import Reader, Recording
from apar.backends.vllm.request_options import STEPS, ForkOptions
from apar.backends.vllm.thread_requests import params_of
from apar.decoding.coordinator import Actions, ForkCoordinator, SequenceRequest
from apar.decoding.detokenize import NoDetokenizer
from apar.decoding.group import Group, Sampled
from apar.decoding.params import SamplingParams
from apar.decoding.requests import Request as GroupRequest
from apar.decoding.vocabulary import Vocabulary
from apar.events import Finished, TokenLogprob
from apar.tokens import ControlTokens
from apar.tree import ROOT


class ForkedRequest:
    """The threads of the request `root`. `runs` are those under way, by the id of their request.

    `params` are what the request asked for, before anything was banned.
    """

    def __init__(self, root: Request, options: ForkOptions, control: ControlTokens, context: int) -> None:
        self.root = root
        self.params = root.sampling_params
        self.options = options
        self.runs: dict[str, SequenceRequest] = {}
        self._requests: dict[int, Request] = {}
        self.failed: FinishReason | None = None
        self._emitted_first: EngineCoreOutput | None = None
        self._end_of_root = Sampled(min(control.eos, default=0))
        self._stop_reason: int | str | None = None
        self._ordered: list[Sampled] = []
        self._recording = Recording()
        self._reader = Reader(self._recording)
        self._num_sent = 0
        group = _group(root, options, control, context)
        pace = not self.params.temperature or self.params.seed is None
        self._coordinator = ForkCoordinator(group, self._ordered.extend if options.order == STEPS else None, pace)

    @property
    def group(self) -> Group:
        """The answer as far as its logical steps are complete."""
        return self._coordinator.group

    @property
    def done(self) -> bool:
        """Whether nothing more comes, because the answer is complete or has failed."""
        return self.group.done or self.failed is not None

    def actions(self) -> Actions:
        """What is to be done next; the runs to end are forgotten, those to begin are to be entered by `enter`."""
        actions = self._coordinator.actions()
        ended = set(actions.abort)
        self.runs = {request: run for request, run in self.runs.items() if run not in ended}
        return actions

    def adopt(self, run: SequenceRequest) -> None:
        """The first run is decoded by the root itself."""
        self.root.sampling_params = self.params_of(run)
        self.root.max_tokens = run.limit
        self.enter(run, self.root)

    def params_of(self, run: SequenceRequest) -> VllmParams:
        """What a run is decoded with."""
        return params_of(self.params, run, self.group)

    def enter(self, run: SequenceRequest, request: Request) -> None:
        """A run is decoded by this request."""
        self.runs[request.request_id] = run
        self._requests[run.number] = request

    def request_of(self, number: int | None) -> Request | None:
        """The request of a run; None of one that is to begin together with others and has none yet."""
        return None if number is None else self._requests.get(number)

    def request_ids(self) -> list[str]:
        """Of all runs there ever were, the root's the first."""
        return [request.request_id for request in self._requests.values()]

    def on_output(self, output: EngineCoreOutput) -> None:
        """Take in an output of one of the runs. Raises RunError where the engine broke a rule."""
        run = self.runs[output.request_id]
        if run.number == 0 and self._emitted_first is None:
            self._emitted_first = output
        if output.finished:
            del self.runs[output.request_id]
        if output.finish_reason not in (None, FinishReason.STOP, FinishReason.LENGTH):
            self.fail(output.finish_reason)
            return
        sampled = [
            Sampled(token, cast(TokenLogprob | None, _row(output.new_logprobs, number)))
            for number, token in enumerate(output.new_token_ids)
        ]
        if run.thread == ROOT and sampled and sampled[-1].token in self.group.eos:
            self._end_of_root, self._stop_reason = sampled[-1], output.stop_reason
        self._coordinator.on_tokens(run, sampled, output.finished)

    def fail(self, reason: FinishReason) -> None:
        """End the answer as it is."""
        self._coordinator.abort()
        self.failed = reason

    def emit(self) -> EngineCoreOutput | None:
        """What may be told now, as an output of the root; None if there is nothing."""
        sampled = self._steps() if self.options.order == STEPS else self._readable()
        finish = self._finish_reason()
        if finish is FinishReason.STOP and self.options.order != STEPS:
            # The one that vLLM takes off the text again.
            sampled.append(self._end_of_root)
        if not sampled and finish is None:
            return None
        output = EngineCoreOutput(self.root.request_id, [one.token for one in sampled], finish_reason=finish)
        output.stop_reason = self._stop_reason if finish is FinishReason.STOP else None
        output.trace_headers = self.root.trace_headers
        if self.params.num_logprobs is not None and sampled:
            output.new_logprobs = _joined([one.logprob for one in sampled], self.params.num_logprobs)
        if (first := self._emitted_first) is not None and self._num_sent:
            output.prefill_stats, output.events = first.prefill_stats, first.events
            output.new_prompt_logprobs_tensors = first.new_prompt_logprobs_tensors
            output.prompt_token_id_logprobs = first.prompt_token_id_logprobs
            first.prefill_stats = first.events = first.new_prompt_logprobs_tensors = None
            first.prompt_token_id_logprobs = None
        return output

    def _finish_reason(self) -> FinishReason | None:
        if self.failed is not None:
            return self.failed
        if not self.group.done:
            return None
        cut = any(isinstance(event, Finished) and event.reason == "length" for event in self.group.events)
        return FinishReason.LENGTH if cut else FinishReason.STOP

    def _steps(self) -> list[Sampled]:
        sampled = list(self._ordered)
        self._ordered.clear()
        self._num_sent += len(sampled)
        return sampled

    def _readable(self) -> list[Sampled]:
        events = self.group.events
        for event in events[self._num_sent :]:
            self._recording.add(event)
        self._num_sent = len(events)
        return [
            Sampled(token, logprob)
            for delta in self._reader.read(ended=self.done)
            for token, logprob in zip(delta.token_ids, delta.logprobs or (None,), strict=True)
        ]


def _group(root: Request, options: ForkOptions, control: ControlTokens, context: int) -> Group:
    """The answer as the rules of forking see it. The core has no text: stop strings are the front's business."""
    params = SamplingParams(
        max_tokens=root.max_tokens,
        max_threads=options.max_threads,
        max_depth=options.max_depth,
        fork=options.fork,
        seed=0,
    )
    request = GroupRequest(list(root.prompt_token_ids), params, options.choice)
    group = Group.start(0, request, Vocabulary(None, control, control.eos), context, NoDetokenizer())
    group.seed = root.sampling_params.seed or 0  # which may be negative in vLLM
    return group


def _row(logprobs: LogprobsLists | None, number: int) -> LogprobsLists | None:
    return None if logprobs is None else logprobs.slice_request(number, 1)


def _joined(rows: Sequence[Any], count: int) -> LogprobsLists | None:
    """The rows of some tokens; a batch's rows are as wide as the widest of its requests."""
    found = [row for row in rows if row is not None]
    if len(found) != len(rows):
        return None
    width = None if count < 0 else count + 1
    return LogprobsLists(
        np.concatenate([row.logprob_token_ids[:, :width] for row in found]),
        np.concatenate([row.logprobs[:, :width] for row in found]),
        np.concatenate([row.sampled_token_ranks for row in found]),
    )
