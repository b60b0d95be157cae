"""Forced answers in vLLM: a logits processor leaves every thread one token, the next of its own.

The forward pass and the sampler do all their work. The tokens travel with the request, as extra arguments: those of
the whole answer where the core forks, that of its own thread with each request where the client does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor
from vllm.v1.sample.logits_processor.builtin import process_dict_updates
from vllm.v1.worker.gpu.sample.logits_processor.interface import LogitsProcessor as _SlotProcessor

from apar.backends.vllm.request_options import FORCED, SAMPLED, THREAD
from apar.decoding.coordinator import SequenceRequest
from apar.decoding.forced_answer import ForcedAnswer
from apar.tree import ROOT, ThreadPath

# So far above every other logit that nothing is left for those, and finite after a division by any temperature.
_CERTAIN = 1e30

_Place = tuple[Sequence[int], int, list[int]]
"""A thread's forced tokens, how many of them came before the request, and those since: vLLM adds to them."""


def answer_arguments(forced: ForcedAnswer) -> dict[str, Any]:
    """The extra arguments of a whole answer, whose threads the core decodes."""
    return {FORCED: {_name(path): list(ids) for path, ids in forced.threads.items()}}


def thread_arguments(forced: ForcedAnswer, run: SequenceRequest) -> dict[str, Any]:
    """The extra arguments of a run as a request of its own."""
    thread = {_name(run.thread): list(forced.threads[run.thread])}
    return {FORCED: thread, THREAD: list(run.thread), SAMPLED: run.sampled}


class ForcedTokenProcessor(LogitsProcessor, _SlotProcessor):
    """For requests with forced tokens. Others cost nothing; at the end of its tokens a thread is the model's again.

    vLLM has two model runners, each with an interface of its own, and this is a processor for both. The older one says
    which request a row of logits belongs to (`update_state`, the device as `where`); with the newer one a request has
    a slot, and each pass says which slots its rows are of (`add_request`, the states of the slots as `where`).
    """

    def __init__(self, vllm_config: Any, where: Any, is_pin_memory: bool = False) -> None:
        if getattr(vllm_config, "speculative_config", None):
            raise ValueError("an answer is forced token by token: leave out speculative_config")
        self._places: dict[int, _Place] = {}
        self._slots: dict[int, tuple[Sequence[int], int]] = {}
        self._where = where

    @classmethod
    def validate_params(cls, sampling_params: Any) -> None:
        """Raise ValueError for forced tokens that are none."""
        arguments = sampling_params.extra_args or {}
        forced = arguments.get(FORCED, {})
        if not isinstance(forced, dict) or not all(_are_ids(ids) for ids in forced.values()):
            raise ValueError(f"{FORCED} is not an object that has for every thread, as 0.1, the list of its token ids")

    def is_argmax_invariant(self) -> bool:
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        process_dict_updates(self._places, batch_update, _place)

    def add_request(self, req_idx: int, sampling_params: Any) -> bool:
        """A request has a slot, which was another's before; whether it has forced tokens."""
        place = _place(sampling_params, None, [])
        if place is None:
            self._slots.pop(req_idx, None)
            return False
        ids, before, _ = place
        self._slots[req_idx] = ids, before - int(self._where.prompt_len.np[req_idx])
        return True

    def apply(self, logits: torch.Tensor, ctx: Any = None) -> torch.Tensor:
        """Raise the logit of each forced row's token, in place; `[rows, vocabulary]`."""
        rows, tokens = [], []
        for row, ids, index in self._forced() if ctx is None else self._forced_slots(ctx):
            if index < len(ids):
                rows.append(row)
                tokens.append(ids[index])
        if rows:
            at = torch.tensor((rows, tokens), device=logits.device)
            logits[at[0], at[1]] = _CERTAIN
        return logits

    def _forced(self) -> Iterator[tuple[int, Sequence[int], int]]:
        """Rows with forced tokens, and how many of them have come."""
        for row, (ids, before, output) in self._places.items():
            yield row, ids, before + len(output)

    def _forced_slots(self, ctx: Any) -> Iterator[tuple[int, Sequence[int], int]]:
        """The same by the slots of a pass; a path's length without its prompt is what the request has sampled."""
        if self._slots:
            lengths = ctx.seq_lens_upper_bound_np.tolist()
            for row, slot in enumerate(ctx.idx_mapping_np.tolist()):
                if slot in self._slots:
                    ids, before = self._slots[slot]
                    yield row, ids, before + lengths[row]


def _place(params: Any, prompt: list[int] | None, output: list[int]) -> _Place | None:
    """The forced tokens of a request that enters the batch; None where it has none."""
    arguments = params.extra_args
    if not arguments or FORCED not in arguments:
        return None
    ids = arguments[FORCED].get(_name(arguments.get(THREAD, ROOT)))
    return None if ids is None else (ids, int(arguments.get(SAMPLED, 0)), output)


def _name(path: ThreadPath | Sequence[int]) -> str:
    """A thread's path as a key that every encoding takes."""
    return ".".join(map(str, path))


def _are_ids(ids: Any) -> bool:
    return isinstance(ids, list) and all(isinstance(one, int) and one >= 0 for one in ids)
