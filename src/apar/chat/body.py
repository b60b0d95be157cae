"""The body of a chat's request. What is at a value that changes nothing is left out: not every server knows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apar.decoding.params import SamplingParams
from apar.errors import RequestError
from apar.tokens import Message

_DEFAULTS = SamplingParams()
_OPTIONAL = ("top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty", "seed")


def chat_body(model: str, messages: Sequence[Message], params: SamplingParams, threads: bool) -> dict[str, Any]:
    """What is posted to /v1/chat/completions; `threads` asks for the events of threads, which only our server has.

    Raises RequestError for several answers and for log probabilities: a chat shows neither.
    """
    if params.n > 1:
        raise RequestError("a chat has one answer a turn; leave -n out")
    if params.logprobs is not None:
        raise RequestError("the log probabilities of a server are not shown; leave --logprobs out")
    body: dict[str, Any] = {
        "model": model,
        "messages": list(messages),
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": params.max_tokens,
        "temperature": params.temperature,
    }
    body |= {name: getattr(params, name) for name in _OPTIONAL if getattr(params, name) != getattr(_DEFAULTS, name)}
    if params.stop:
        body["stop"] = list(params.stop)
    if params.logit_bias:
        body["logit_bias"] = {str(token): bias for token, bias in params.logit_bias.items()}
    if threads:
        body["apar"] = {
            "stream": "threads",
            "fork": params.fork,
            "max_threads": params.max_threads,
            "max_depth": params.max_depth,
            "metrics": True,
        }
    return body
