"""The requests of an answer's threads inside vLLM's core, made of the one that the client sent."""

from __future__ import annotations

import copy
from collections.abc import Iterable

from vllm import SamplingParams, envs
from vllm.v1.request import Request

from apar.backends.vllm.request_options import FORCED, SAMPLED, THREAD
from apar.decoding.coordinator import SequenceRequest
from apar.decoding.group import Group
from apar.errors import RequestError
from apar.tree import ROOT

_MOST_BANS = 16
"""`[Fork]`, `[Child]`, and the tokens that end a thread."""


def can_fork(request: Request) -> bool:
    """Whether threads may be decoded apart: not where something has to see the whole answer as one sequence."""
    params = request.sampling_params
    return (
        not request.use_structured_output
        and not request.resumable
        and request.kv_transfer_params is None
        and request.ec_transfer_params is None
        and request.prompt_token_ids is not None
        and request.prompt_embeds is None
        and not params.presence_penalty
        and not params.frequency_penalty
        and params.repetition_penalty == 1
        and params.thinking_token_budget is None
        and params.allowed_token_ids is None
    )


def check_words(request: Request) -> None:
    """Raise RequestError where there is no room for our bans beside the request's own bad words."""
    words = request.sampling_params.bad_words_token_ids or ()
    most = envs.VLLM_MAX_NUM_BAD_WORDS - _MOST_BANS
    if len(words) > most:
        raise RequestError(f"the request has {len(words)} bad words; with forks in the core {most} are the most")


def ends(request: Request) -> frozenset[int]:
    """The tokens that end a thread."""
    params = request.sampling_params
    eos = [] if params.eos_token_id is None else [params.eos_token_id]
    return frozenset([*eos, *(params.stop_token_ids or ())])


def restrict(params: SamplingParams, banned: Iterable[int]) -> SamplingParams:
    """The same parameters with tokens banned, by what vLLM has for bad words: it goes with drafts too."""
    params = copy.copy(params)
    params._bad_words_token_ids = [*(params._bad_words_token_ids or ()), *([token] for token in sorted(banned))]
    return params


def params_of(asked: SamplingParams, run: SequenceRequest, group: Group) -> SamplingParams:
    """What a run of the answer is decoded with; `asked` are the parameters of the client's request."""
    params = restrict(asked, run.banned)
    params.max_tokens = run.limit
    if params.seed is not None:
        params.seed = run.seed(group)
    if run.number:
        params.prompt_logprobs, params.skip_reading_prefix_cache = None, False
        params.min_tokens = max(0, params.min_tokens - run.sampled) if run.thread == ROOT else 0
    if FORCED in (params.extra_args or {}):
        params.extra_args = {**params.extra_args, THREAD: list(run.thread), SAMPLED: run.sampled}
    return params


def request_of(root: Request, run: SequenceRequest, params: SamplingParams) -> Request:
    """The request of a run that is not the first; `root` is the client's."""
    return Request(
        request_id=f"{root.request_id}/{run.number}",
        prompt_token_ids=list(run.tokens),
        sampling_params=params,
        pooling_params=None,
        client_index=root.client_index,
        arrival_time=root.arrival_time,
        mm_features=root.mm_features,
        lora_request=root.lora_request,
        cache_salt=root.cache_salt,
        priority=root.priority,
        trace_headers=root.trace_headers,
        session_id=root.session_id,
    )
