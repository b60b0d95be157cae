"""What is asked of vLLM and read from it, as far as no vLLM is needed: limits, options and the tokens of steps."""

from __future__ import annotations

import random

import pytest

from apar.backends.sequence_engine import vllm_limits
from apar.backends.vllm.request_options import ForkOptions
from apar.backends.vllm.step_decoder import StepDecoder
from apar.decoding.coordinator import ForkCoordinator
from apar.decoding.group import Sampled
from apar.decoding.params import SamplingParams
from apar.decoding.requests import Limits, check
from apar.decoding.vocabulary import Vocabulary
from apar.errors import RequestError, RunError
from tests.backends.hasty import CONTROL, HashModel, HastyEngine, make_group


def _limits(no_priorities: str | None = None) -> Limits:
    return vllm_limits(Vocabulary(None, CONTROL, CONTROL.eos), 20, 40, no_priorities)


@pytest.mark.parametrize(
    ("prompt", "params", "message"),
    [
        ([], SamplingParams(), "no tokens"),
        ([5] * 20, SamplingParams(), "context of 20 tokens"),
        ([5], SamplingParams(temperature=2.5), "temperature is 2.5; with vLLM it must be at most 2.0"),
        ([5], SamplingParams(logit_bias={40: 1.0}), "the model has 40 tokens"),
        ([5], SamplingParams(logit_bias={CONTROL.child: 1.0}), "never sampled"),
        ([5], SamplingParams(repetition_penalty=1.2), "vLLM applies them.*decode without forks"),
        ([5], SamplingParams(priority=1), "no priorities today"),
        ([5], SamplingParams(draft_acceptance="typical"), "vLLM accepts drafts exactly"),
    ],
)
def test_what_cannot_be_served_is_refused(prompt: list[int], params: SamplingParams, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        check(prompt, params, _limits("no priorities today"))


def test_penalties_are_served_without_forks() -> None:
    check([5], SamplingParams(repetition_penalty=1.2, presence_penalty=1.0, fork=False, priority=1), _limits())


def test_threads_are_told_apart_from_the_tokens_of_every_step() -> None:
    forked = 0
    for number in range(60):
        rng = random.Random(number)
        model = HashModel(number, fork=3.0, eos=-2.0)
        params = SamplingParams(max_tokens=rng.choice([5, 30, 60]), max_threads=rng.choice([2, 5, 32]), seed=0)
        steps: list[Sampled] = []
        coordinator = ForkCoordinator(make_group([3, 4], params, 100), steps.extend)
        HastyEngine(model, rng).answer(coordinator)
        group = make_group([3, 4], params, 100)
        reader = StepDecoder(group)
        while steps:  # in pieces of any size
            size = rng.randint(1, 7)
            reader.feed(steps[:size])
            del steps[:size]
        assert group.done
        assert group.events == coordinator.group.events
        forked += group.created > 1
    assert forked > 20


def test_options_of_a_request_are_read() -> None:
    options = ForkOptions.of({"apar_fork": 1, "apar_max_threads": 3, "apar_max_depth": 2, "other": "x"})
    assert (options.fork, options.max_threads, options.max_depth, options.order) == (True, 3, 2, "reading")
    assert ForkOptions.of(None).fork
    assert not ForkOptions.of({"apar_fork": 0}).fork


@pytest.mark.parametrize(
    "extra",
    [
        {"apar_forks": 1},
        {"apar_fork": "yes"},
        {"apar_fork": []},
        {"apar_order": "any"},
        {"apar_order": {}},
        {"apar_choice": "x"},
        {"apar_choice": float("nan")},
        {"apar_max_threads": 0},
        {"apar_max_threads": 10**12},
        {"apar_max_threads": "8"},
        {"apar_max_depth": 1.5},
    ],
)
def test_options_that_do_not_fit_are_refused(extra: dict[str, object]) -> None:
    with pytest.raises(RequestError, match=r"apar_|max_"):
        ForkOptions.of(extra)


def test_a_core_with_other_rules_is_noticed_at_once() -> None:
    decoder = StepDecoder(make_group([3, 4], SamplingParams(max_tokens=9), 100))
    with pytest.raises(RunError, match="that the grammar forbids"):
        decoder.feed([Sampled(CONTROL.fork)])
