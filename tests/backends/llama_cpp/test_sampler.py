"""The sampler on numpy takes the tokens that the engine's takes on PyTorch, from equal logits."""

from __future__ import annotations

import math
import random

import numpy as np
import torch

from apar.backends.llama_cpp import sampler as on_numpy
from apar.decoding.group import Group, Sampled
from apar.decoding.params import SamplingParams
from apar.engine import sampler as on_torch
from apar.scheduling.place import Place
from tests.backends.hasty import CONTROL, make_group


def _params(rng: random.Random, size: int) -> SamplingParams:
    return SamplingParams(
        max_tokens=100,
        temperature=rng.choice([0.0, 0.3, 0.8, 1.0, 2.0]),
        top_p=rng.choice([1.0, 1.0, 0.95, 0.5]),
        top_k=rng.choice([0, 0, 1, 5, 40, 1500]),
        min_p=rng.choice([0.0, 0.0, 0.05, 0.4]),
        repetition_penalty=rng.choice([1.0, 1.3, 0.8]),
        presence_penalty=rng.choice([0.0, 0.7, -0.3]),
        frequency_penalty=rng.choice([0.0, 0.5, -0.4]),
        logit_bias=rng.choice([{}, {5: 3.0, 9: -100.0}, {size - 1: 1.5}]),
        logprobs=rng.choice([None, 0, 3, 20]),
        seed=rng.randrange(1000),
        fork=rng.random() < 0.8,
    )


def _place(rng: random.Random, params: SamplingParams, size: int) -> Place:
    prompt = [rng.randrange(3, size) for _ in range(rng.randint(1, 20))]
    group: Group = make_group(prompt, params, 1000)
    [thread] = group.threads
    thread.tokens = prompt + [rng.randrange(3, size) for _ in range(rng.randrange(20))]
    if rng.random() < 0.2:
        thread.refused = frozenset({CONTROL.fork})
    return Place(group, thread)


def _logits(rng: random.Random, rows: int, size: int) -> np.ndarray:  # type: ignore[type-arg]
    logits = np.random.default_rng(rng.randrange(1 << 30)).normal(0, rng.choice([0.01, 1, 4]), (rows, size))
    return logits.astype(np.float32).round(rng.choice([1, 3, 6]))  # ties, too


def _alike(one: Sampled | None, other: Sampled | None) -> bool:
    if one is None or other is None:
        return one is other
    if one.token != other.token or one.banned != other.banned or (one.logprob is None) != (other.logprob is None):
        return False
    if one.logprob is None or other.logprob is None:
        return True
    mine, theirs = one.logprob, other.logprob
    return math.isclose(mine.logprob, theirs.logprob, abs_tol=1e-9) and [token for token, _ in mine.top] == [
        token for token, _ in theirs.top
    ]


def test_both_take_the_same_tokens_and_tell_the_same_log_probabilities() -> None:
    sampled = 0
    for number in range(300):
        rng = random.Random(number)
        size = rng.choice([12, 300, 3000])
        places = [_place(rng, _params(rng, size), size) for _ in range(rng.randint(1, 6))]
        logits = _logits(rng, len(places), size)
        mine = on_numpy.sample(places, logits.copy())
        theirs = on_torch.sample(places, torch.tensor(logits))
        for one, other in zip(mine, theirs, strict=True):
            assert _alike(one, other), (number, one, other)
        sampled += sum(place.group.params.temperature > 0 for place in places)
    assert sampled > 500


def test_logits_that_are_no_numbers_give_no_token_and_harm_no_other_row() -> None:
    rng = random.Random(0)
    places = [_place(rng, SamplingParams(seed=0), 12) for _ in range(3)]
    logits = _logits(rng, 3, 12)
    logits[0, 4] = np.nan
    logits[2] = -np.inf
    first, second, third = on_numpy.sample(places, logits)
    assert first is None
    assert second is not None
    assert third is None
