"""From logits to tokens on numpy, step by step as the engine in process does it on PyTorch (`apar.engine.sampler`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from apar.decoding.group import Sampled
from apar.decoding.params import SamplingParams
from apar.events import TokenLogprob
from apar.scheduling.place import Place

Array = np.ndarray[Any, Any]

_FIRST_RANKS = 1024
"""Tokens looked at first for top-k and top-p: they are nearly always enough, and sorting all is slow."""


def sample(places: Sequence[Place], logits: Array) -> list[Sampled | None]:
    """The next token at every place, None where its logits are not numbers.

    What each place's grammar bans is never taken, nor what was refused there. `logits` [places, vocabulary], float32,
    are overwritten.
    """
    # The maximum of a row with a NaN is one; a row of -inf alone has no token to give.
    sound = np.isfinite(logits.max(-1))
    return [_sample_row(place, row) if good else None for place, row, good in zip(places, logits, sound, strict=True)]


def _sample_row(place: Place, logits: Array) -> Sampled | None:
    banned, asked = place.banned, place.group.params.logprobs
    _ban(logits, banned)
    # Those of a token that was refused included: it was a possible one when the step began.
    scores = None if asked is None else log_softmax(logits)
    _ban(logits, place.refused)
    _adjust(logits, place)
    token = int(logits.argmax()) if not place.group.params.temperature else _draw(logits, place)
    logprob = None if scores is None else TokenLogprob(token, float(scores[token]), _likeliest(scores, asked or 0))
    return Sampled(token, logprob, banned)


def _ban(logits: Array, tokens: frozenset[int]) -> None:
    if tokens:
        logits[_indices(tokens)] = -np.inf


@lru_cache(maxsize=64)
def _indices(tokens: frozenset[int]) -> Array:
    """The ids of a set, which comes again and again."""
    return np.array(sorted(tokens), dtype=np.int64)


def log_softmax(logits: Array) -> Array:
    """In float64, along the last axis."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))  # type: ignore[no-any-return]


def _likeliest(scores: Array, count: int) -> tuple[tuple[int, float], ...]:
    """The `count` likeliest tokens, of equals those with the lowest ids; none that cannot come."""
    count = min(count, len(scores))
    if not count:
        return ()
    last = np.partition(scores, len(scores) - count)[len(scores) - count]
    kept = np.flatnonzero((scores >= last) & np.isfinite(scores))
    # The sort keeps the order of ids.
    best = kept[np.argsort(-scores[kept], kind="stable")][:count]
    return tuple((int(token), float(scores[token])) for token in best)


def _adjust(logits: Array, place: Place) -> None:
    """Add the request's bias and apply its penalties; definitions: `SamplingParams`."""
    params = place.group.params
    if not params.adjusts:
        return
    for token, bias in params.logit_bias.items():
        logits[token] += np.float32(bias)
    said = place.said
    if not said:
        return
    tokens, times = np.array(said, dtype=np.int64).T
    values = logits[tokens]
    repetition = np.float32(params.repetition_penalty)
    values = np.where(values > 0, values / repetition, values * repetition)
    values = values - np.float32(params.frequency_penalty) * times.astype(np.float32)
    logits[tokens] = values - np.float32(params.presence_penalty) * (times > 0)


def _draw(logits: Array, place: Place) -> int:
    params = place.group.params
    # From the largest down, so that no temperature is too small: the largest stays 0, the others fall.
    scaled = (logits - logits.max()).astype(np.float64) / params.temperature
    if params.min_p:
        scaled[scaled < math.log(params.min_p)] = -np.inf
    if params.top_k or params.top_p < 1:
        scaled[scaled < _least_kept(scaled, params)] = -np.inf
    return _invert(scaled, place.random_number)


def _invert(logits: Array, uniform: float) -> int:
    """The token at which the cumulative probability, in the order of ids, passes the number.

    In the order of ids, not of probability, a rounding error moves a border a little but never swaps tokens.
    """
    cumulative = (np.exp(logits) / np.exp(logits).sum()).cumsum()
    found = int(np.searchsorted(cumulative, uniform * cumulative[-1], side="right"))
    return min(found, len(logits) - 1)


def _least_kept(logits: Array, params: SamplingParams) -> float:
    """The least of the `top_k` largest logits, and of these the fewest that together have probability `top_p`.

    Tokens that tie with the last one kept are kept too, so that no order of equals matters. The largest logit is 0.
    """
    likeliest = 1 / np.exp(logits).sum()
    ranks = min(_FIRST_RANKS, len(logits))
    ranked = np.sort(np.partition(logits, len(logits) - ranks)[len(logits) - ranks :])[::-1]
    least, kept = _least_of(ranked, likeliest, params)
    if ranks < len(logits) and (params.top_k > ranks or (not params.top_k and kept == ranks)):
        least, _ = _least_of(np.sort(logits)[::-1], likeliest, params)
    return least


def _least_of(ranked: Array, likeliest: float, params: SamplingParams) -> tuple[float, int]:
    """The smallest logit that is kept, and how many of `ranked`, largest first, are.

    `likeliest` is the probability of the token with the logit 0.
    """
    count = min(params.top_k or len(ranked), len(ranked))
    probabilities = np.exp(ranked) * likeliest
    cumulative = probabilities.cumsum()
    mass = params.top_p if params.top_p < 1 else math.inf
    if params.top_k:  # `top_p` is of the mass that `top_k` leaves; without it, of all, though not all are ranked here
        mass *= cumulative[count - 1]
    # A rank is kept while the ranks before it have less than the mass.
    kept = max(1, int((cumulative[:count] - probabilities[:count] < mass).sum()))
    return float(ranked[kept - 1]), kept
