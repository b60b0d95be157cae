"""From our parameters to vLLM's, and from vLLM's log probabilities to ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vllm import SamplingParams as VllmParams
from vllm.sampling_params import RequestOutputKind

from apar.backends.vllm.forced_tokens import answer_arguments, thread_arguments
from apar.backends.vllm.request_options import ALONE, CHOICE, MAX_DEPTH, MAX_THREADS, ORDER, STEPS
from apar.backends.vllm.thread_requests import restrict
from apar.decoding.coordinator import SequenceRequest
from apar.decoding.group import Group
from apar.decoding.vocabulary import Vocabulary
from apar.errors import RequestError
from apar.events import TokenLogprob


def thread_params(group: Group, run: SequenceRequest, vocabulary: Vocabulary) -> VllmParams:
    """The parameters of a run as a request of its own: what is banned are vLLM's bad words.

    Control tokens and ends are told as text where vLLM has the tokenizer to read them, else as ids; so are all others,
    which are no text by themselves.
    """
    sampled = group.params.temperature > 0
    forced = {} if group.forced is None else thread_arguments(group.forced, run)
    # What is told sequentially is what vLLM does without us: it is not to pay for bans.
    banned = sorted(run.banned) if group.forced is None or group.params.fork else []
    by_id = vocabulary.given or group.params.by_rules
    params = _params(
        group,
        max_tokens=run.limit,
        seed=run.seed(group) if sampled else None,
        bad_words=[] if by_id else [vocabulary.text_of(token) for token in banned],
        extra_args={ORDER: ALONE, **forced},
    )
    return restrict(params, banned) if by_id else params


def answer_params(group: Group) -> VllmParams:
    """The parameters of a whole answer, whose threads the core decodes."""
    params = group.params
    extra = {ORDER: STEPS, MAX_THREADS: params.max_threads, MAX_DEPTH: params.max_depth, CHOICE: group.choice}
    if group.forced is not None:
        extra |= answer_arguments(group.forced)
    return _params(group, max_tokens=params.max_tokens, seed=group.seed, extra_args=extra)


def _params(group: Group, **own: Any) -> VllmParams:
    params = group.params
    try:
        return VllmParams(
            temperature=params.temperature,
            top_p=params.top_p,
            top_k=params.top_k,
            min_p=params.min_p,
            repetition_penalty=params.repetition_penalty,
            presence_penalty=params.presence_penalty,
            frequency_penalty=params.frequency_penalty,
            logit_bias=dict(params.logit_bias) or None,
            logprobs=params.logprobs,
            stop_token_ids=sorted(group.eos),
            # What else the model's own files call an end may stand in the middle of a text that is told.
            ignore_eos=group.forced is not None,
            detokenize=False,
            output_kind=RequestOutputKind.DELTA,
            **own,
        )
    except ValueError as error:
        raise RequestError(f"vLLM cannot serve the request: {error}") from error


def logprob_of(token: int, found: Mapping[int, Any], count: int) -> TokenLogprob:
    """A token's log probability and those of the `count` likeliest, of vLLM's entries by token id."""
    ranked = sorted((entry.rank, each, entry.logprob) for each, entry in found.items() if entry.rank <= count)
    return TokenLogprob(token, found[token].logprob, tuple((each, value) for _, each, value in ranked[:count]))
