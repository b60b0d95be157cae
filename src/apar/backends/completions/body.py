"""The body of a request to a completions server: OpenAI's fields, and others where they say something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from apar.backends.completions.pieces import END
from apar.decoding.coordinator import SequenceRequest
from apar.decoding.group import Group
from apar.decoding.params import MAX_BIAS, SamplingParams

_FIRST_PIECE = 8
"""Tokens that may be sampled for one piece of text: one that is but a part of a character has none."""
_RETRY_TEMPERATURE = 1.0


@dataclass(frozen=True, slots=True)
class Bans:
    """The pieces that were refused where a request goes on: `tokens` by their ids, `others` that have no id."""

    tokens: tuple[int, ...] = ()
    others: int = 0


def text_body(group: Group, run: SequenceRequest, prompt: str, served_model: str, bans: Bans) -> dict[str, Any]:
    """What is posted to /v1/completions behind a path of the text `prompt`.

    What cannot be banned is sampled again at a temperature above 0, as else the same would come.
    """
    params = group.params
    retried = bans.others and not params.temperature
    body: dict[str, Any] = {
        "model": served_model,
        "prompt": prompt,
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": _FIRST_PIECE if run.tries else run.limit,
        "temperature": _RETRY_TEMPERATURE if retried else params.temperature,
        "top_p": params.top_p,
        **_penalties(params),
    }
    if body["temperature"]:
        # Servers have defaults of their own for these.
        body |= {"seed": run.seed(group), "top_k": params.top_k, "min_p": params.min_p}
    if END in run.banned:
        body["ignore_eos"] = True
    biases = {**params.logit_bias, **dict.fromkeys(bans.tokens, -float(MAX_BIAS))}
    if biases:
        body["logit_bias"] = {str(token): bias for token, bias in biases.items()}
    return body


def _penalties(params: SamplingParams) -> dict[str, float]:
    """Those that are set; two names of one of them are in use."""
    found = {name: getattr(params, name) for name in ("presence_penalty", "frequency_penalty")}
    penalties: dict[str, float] = {name: value for name, value in found.items() if value}
    if params.repetition_penalty != 1:
        penalties |= dict.fromkeys(("repetition_penalty", "repeat_penalty"), params.repetition_penalty)
    return penalties
