"""The body of a run's request. What the server has defaults for is said in full."""

from __future__ import annotations

from typing import Any

from apar.backends.vllm.request_options import ALONE, ORDER
from apar.decoding.coordinator import SequenceRequest
from apar.decoding.group import Group
from apar.decoding.params import MAX_BIAS
from apar.decoding.vocabulary import Vocabulary


def completion_body(group: Group, run: SequenceRequest, vocabulary: Vocabulary, served_model: str) -> dict[str, Any]:
    """What is posted to /v1/completions. Control tokens and ends that are banned are vLLM's bad words; others, whose
    texts may be white space and be read otherwise, get the lowest bias there is.
    """
    params = group.params
    words = run.banned & group.grammar.hidden
    biases = {**params.logit_bias, **dict.fromkeys(run.banned - words, -float(MAX_BIAS))}
    body: dict[str, Any] = {
        "model": served_model,
        "prompt": list(run.tokens),
        "stream": True,
        "stream_options": {"include_usage": True},
        "return_token_ids": True,
        "skip_special_tokens": False,
        "max_tokens": run.limit,
        "stop_token_ids": sorted(group.eos),
        "bad_words": [vocabulary.text_of(token) for token in sorted(words)],
        "temperature": params.temperature,
        "top_p": params.top_p,
        "top_k": params.top_k,
        "min_p": params.min_p,
        "repetition_penalty": params.repetition_penalty,
        "presence_penalty": params.presence_penalty,
        "frequency_penalty": params.frequency_penalty,
        # Where the server can fork by itself: this request is one thread of an answer that is forked here.
        "vllm_xargs": {ORDER: ALONE},
    }
    if params.temperature > 0:
        body["seed"] = run.seed(group)
    if biases:
        body["logit_bias"] = {str(token): bias for token, bias in biases.items()}
    if params.logprobs is not None:
        body |= {"logprobs": params.logprobs, "return_tokens_as_token_ids": True}
    return body
