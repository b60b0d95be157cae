"""From logits to tokens."""

from __future__ import annotations

import math
import statistics
from collections import Counter

import pytest
import torch
from torch import Tensor

from apar.decoding.group import Group, Sampled
from apar.decoding.params import SamplingParams
from apar.engine.sampler import sample
from apar.scheduling.place import Place, uniform
from tests.engine.states import CHILD, EOS, FORK, forked, new_group

VOCABULARY = 12


def row(params: SamplingParams | None = None, seed: int = 0, said: int = 1, control: bool = True) -> Place:
    """A root that has said some words."""
    group = new_group(params=params, context=10_000, control=control)
    group.seed = seed
    [root] = group.threads
    root.tokens += [5] * said
    return Place(group, root)


def choose(rows: list[Place], logits: Tensor) -> list[Sampled | None]:
    return sample(rows, logits.clone())


def peak(*tokens: int) -> Tensor:
    """Logits that like `tokens` best, the first one most."""
    logits = torch.zeros(VOCABULARY)
    for rank, token in enumerate(tokens):
        logits[token] = 10.0 - rank
    return logits


def drawn(params: SamplingParams, logits: Tensor, count: int = 4000) -> Counter[int]:
    """The tokens of as many seeds."""
    rows = [row(params, seed) for seed in range(count)]
    return Counter(choice.token for choice in choose(rows, logits.expand(count, -1)) if choice)


def test_greedy_takes_the_likeliest_token_that_is_allowed() -> None:
    assert choose([row()], peak(CHILD, 7).unsqueeze(0)) == [Sampled(7)]
    assert choose([row(said=0)], peak(FORK, 7).unsqueeze(0)) == [Sampled(7)]


def test_what_was_refused_is_not_taken_again() -> None:
    again = row()
    again.thread.refused = frozenset([FORK])
    assert choose([row(), again], peak(FORK, CHILD, 7).expand(2, -1)) == [Sampled(FORK), Sampled(7)]


def test_a_details_first_token_is_neither_an_end_nor_a_fork() -> None:
    group: Group = row().group
    child = forked(group, group.threads[0])
    assert choose([Place(group, child)], peak(EOS, FORK, 8).unsqueeze(0)) == [Sampled(8)]


def test_a_model_without_control_tokens_is_sampled_from_all_its_tokens() -> None:
    assert choose([row(control=False)], peak(CHILD, 7).unsqueeze(0)) == [Sampled(CHILD)]


def one_bad(value: float) -> Tensor:
    logits = peak(7)
    logits[3] = value
    return logits


@pytest.mark.parametrize(
    "broken",
    [one_bad(float("nan")), one_bad(float("inf")), *(torch.full([VOCABULARY], float(v)) for v in ("nan", "-inf"))],
)
def test_logits_that_are_no_finite_numbers_give_no_choice_and_leave_the_others_alone(broken: Tensor) -> None:
    rows = [row(), row(SamplingParams(temperature=1.0, top_k=2)), row(), row(SamplingParams(temperature=1.0))]
    choices = choose(rows, torch.stack([peak(5), broken, peak(6), broken]))
    assert choices == [Sampled(5), None, Sampled(6), None]


def test_sampling_follows_the_distribution_at_the_temperature() -> None:
    logits = torch.tensor([float("-inf")] * 4 + [0.0, 1.0, 2.0] + [float("-inf")] * 5)
    counts = drawn(SamplingParams(temperature=2.0), logits)
    expected = (logits / 2.0).softmax(-1)
    assert set(counts) == {4, 5, 6}
    for token, count in counts.items():
        assert count / counts.total() == pytest.approx(float(expected[token]), abs=0.03)


def test_a_temperature_near_zero_is_greedy() -> None:
    assert set(drawn(SamplingParams(temperature=1e-300), peak(7, 8), 50)) == {7}
    assert set(drawn(SamplingParams(temperature=1e-30, top_p=0.5), peak(7, 8), 50)) == {7}


def test_what_replaces_a_refused_fork_follows_the_distribution_without_it() -> None:
    logits = torch.tensor([float("-inf"), 1.0] + [float("-inf")] * 3 + [0.0, 0.0] + [float("-inf")] * 5)
    rows = [row(SamplingParams(temperature=1.0), seed) for seed in range(4000)]
    forking = [
        found
        for found, choice in zip(rows, choose(rows, logits.expand(len(rows), -1)), strict=True)
        if choice and choice.token == FORK
    ]
    for found in forking:
        found.thread.refused = frozenset([FORK])
    refused = [choice.token for choice in choose(forking, logits.expand(len(forking), -1)) if choice]
    assert len(refused) / len(rows) == pytest.approx(float(logits.softmax(-1)[FORK]), abs=0.03)
    assert refused.count(5) / len(refused) == pytest.approx(0.5, abs=0.04)


def test_top_k_keeps_the_likeliest_and_what_ties_with_the_last() -> None:
    logits = torch.tensor([0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    assert set(drawn(SamplingParams(temperature=5.0, top_k=2), logits)) == {4, 5}
    assert set(drawn(SamplingParams(temperature=5.0, top_k=3), logits)) == {3, 4, 5, 6}
    assert set(drawn(SamplingParams(temperature=5.0, top_k=99), logits)) == set(range(VOCABULARY)) - {CHILD}


def test_top_p_keeps_the_fewest_that_have_the_mass() -> None:
    probabilities = torch.tensor([1e-9] * 4 + [0.5, 0.3, 0.15, 0.05] + [1e-9] * 4)
    for mass, kept in ((0.4, {4}), (0.6, {4, 5}), (0.9, {4, 5, 6}), (0.99, {4, 5, 6, 7})):
        assert set(drawn(SamplingParams(temperature=1.0, top_p=mass), probabilities.log())) == kept


def test_top_p_counts_the_mass_of_what_top_k_left() -> None:
    probabilities = torch.tensor([1e-9] * 4 + [0.4, 0.3, 0.2, 0.1] + [1e-9] * 4)
    params = SamplingParams(temperature=1.0, top_k=2, top_p=0.55)
    assert set(drawn(params, probabilities.log())) == {4}


KINDS = [
    SamplingParams(),
    SamplingParams(temperature=1.0),
    SamplingParams(temperature=0.7, top_p=0.9),
    SamplingParams(temperature=5.0, top_p=0.95),
    SamplingParams(temperature=1.3, top_k=5),
    SamplingParams(logit_bias={5: -3.0, 7: 2.0}, logprobs=2),
    SamplingParams(presence_penalty=1.0, frequency_penalty=0.5),
    SamplingParams(temperature=1.0, repetition_penalty=1.5, min_p=0.1),
]


@pytest.mark.parametrize("vocabulary", [VOCABULARY, 3000])
def test_a_token_does_not_depend_on_the_other_rows(vocabulary: int) -> None:
    torch.manual_seed(0)
    rows = [row(KINDS[number % len(KINDS)], seed=number, said=1 + number % 3) for number in range(70)]
    logits = torch.randn(70, vocabulary) * 3
    alone = [choose([one], own.unsqueeze(0))[0] for one, own in zip(rows, logits, strict=True)]
    assert choose(rows, logits) == alone


def kept_by(params: SamplingParams, logits: Tensor) -> Tensor:
    """`logits` without what top-k and top-p leave out, by sorting all."""
    order = logits.argsort(descending=True)[: params.top_k or None]
    probabilities = logits[order].double().softmax(-1)
    before = probabilities.cumsum(-1) - probabilities
    kept = torch.full_like(logits, float("-inf"))
    return kept.index_copy(0, order[before < params.top_p], logits[order[before < params.top_p]])


@pytest.mark.parametrize("flat", [0.1, 1.0, 5.0])
@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(temperature=1.0, top_p=0.9),
        SamplingParams(temperature=1.0, top_p=0.05),
        SamplingParams(temperature=1.0, top_k=50, top_p=0.5),
        SamplingParams(temperature=1.0, top_k=1024, top_p=0.99),
        SamplingParams(temperature=1.0, top_k=2500),
        SamplingParams(temperature=1.0, top_k=2500, top_p=0.8),
    ],
)
def test_of_a_large_vocabulary_the_same_is_left_as_by_sorting_it_all(params: SamplingParams, flat: float) -> None:
    torch.manual_seed(1)
    logits = torch.randn(4000) * flat
    logits[[CHILD, FORK]] = float("-inf")
    count = 300
    limited = choose([row(params, seed) for seed in range(count)], logits.expand(count, -1))
    free = [row(SamplingParams(temperature=1.0), seed) for seed in range(count)]
    assert limited == choose(free, kept_by(params, logits).expand(count, -1))


def test_random_numbers_are_uniform_and_differ_by_seed_choice_thread_token_and_attempt() -> None:
    numbers = [uniform(1, 0, (0,), index) for index in range(4000)]
    assert all(0 <= number < 1 for number in numbers)
    assert statistics.fmean(numbers) == pytest.approx(0.5, abs=0.02)
    assert statistics.pvariance(numbers) == pytest.approx(1 / 12, abs=0.005)
    others = [uniform(2, 0, (0,), 0), uniform(1, 1, (0,), 0), uniform(1, 0, (0, 0), 0), uniform(1, 0, (0,), 0, True)]
    assert len({numbers[0], numbers[1], *others}) == 6


def test_a_child_does_not_sample_its_parents_tokens() -> None:
    parent = [uniform(3, 0, (0,), index) for index in range(50)]
    child = [uniform(3, 0, (0, 0), index) for index in range(50)]
    assert not set(parent) & set(child)


def test_a_bias_makes_a_token_likelier_and_keeps_what_is_banned_banned() -> None:
    params = SamplingParams(logit_bias={9: 20.0, CHILD: 100.0})
    assert choose([row(params), row()], peak(7, 9).expand(2, -1)) == [Sampled(9), Sampled(7)]


def said(params: SamplingParams, prompt: int, *tokens: int) -> Place:
    """A root that has said `tokens` after a prompt of one token."""
    found = row(params, said=0)
    found.thread.tokens = [prompt, *tokens]
    found.group.prompt_tokens = 1
    return Place(found.group, found.thread)


def test_penalties_count_what_the_thread_said_and_not_the_prompt() -> None:
    logits = torch.zeros(VOCABULARY)
    logits[7], logits[8], logits[9] = 3.0, 2.0, 1.9
    frequency, presence = SamplingParams(frequency_penalty=0.6), SamplingParams(presence_penalty=1.05)
    rows = [said(frequency, 7), said(frequency, 5, 7), said(frequency, 5, 7, 7), said(presence, 5, 7, 7, 8)]
    assert [choice.token for choice in choose(rows, logits.expand(4, -1)) if choice] == [7, 7, 8, 7]
    rows = [said(presence, 5, 7), said(SamplingParams(presence_penalty=2.0), 5, 7, 8)]
    assert [choice.token for choice in choose(rows, logits.expand(2, -1)) if choice] == [8, 9]


def test_a_repetition_penalty_counts_the_prompt_and_makes_negative_logits_more_so() -> None:
    logits = torch.full((VOCABULARY,), -9.0)
    logits[7], logits[8] = -1.0, -1.5
    params = SamplingParams(repetition_penalty=2.0)
    rows = [said(params, 5), said(params, 7), said(params, 7, 8)]
    assert [choice.token for choice in choose(rows, logits.expand(3, -1)) if choice] == [7, 8, 7]


def test_control_tokens_are_never_penalised() -> None:
    params = SamplingParams(frequency_penalty=2.0, max_threads=9)
    found = said(params, 5, 7, FORK, 7, FORK, 7)
    assert choose([found], peak(FORK, 8).unsqueeze(0)) == [Sampled(FORK)]


def test_min_p_leaves_what_is_near_the_likeliest() -> None:
    logits = torch.full((VOCABULARY,), -50.0)
    logits[7:10] = torch.tensor([0.0, -1.0, -3.0])
    counts = drawn(SamplingParams(temperature=1.0, min_p=0.2), logits)
    assert set(counts) == {7, 8}
    assert counts[7] / 4000 == pytest.approx(1 / (1 + 2.718281828**-1), abs=0.03)


def test_log_probabilities_are_the_models_own_before_bias_and_temperature() -> None:
    params = SamplingParams(temperature=0.5, logit_bias={8: -100.0}, logprobs=2, fork=False)
    logits = peak(CHILD, 7, 8)
    [choice] = choose([row(params)], logits.unsqueeze(0))
    allowed = logits.clone()
    allowed[[CHILD, FORK]] = float("-inf")
    expected = allowed.double().log_softmax(-1)
    assert choice is not None
    assert choice.logprob is not None
    assert choice.logprob.token_id == choice.token == 7
    assert choice.logprob.logprob == pytest.approx(expected[7].item())
    assert choice.logprob.top == ((7, pytest.approx(expected[7].item())), (8, pytest.approx(expected[8].item())))


def test_what_replaces_a_refused_fork_has_its_log_probability_beside_the_fork() -> None:
    first, again = row(SamplingParams(logprobs=0)), row(SamplingParams(logprobs=0))
    again.thread.refused = frozenset([FORK])
    fork, other = choose([first, again], peak(FORK, 7).expand(2, -1))
    assert fork is not None
    assert other is not None
    assert fork.logprob is not None
    assert other.logprob is not None
    assert [fork.logprob.token_id, other.logprob.token_id] == [FORK, 7]
    assert fork.logprob.logprob > other.logprob.logprob
    assert fork.logprob.top == other.logprob.top == ()


def test_log_probabilities_do_not_depend_on_what_the_other_rows_ask_even_where_tokens_tie() -> None:
    torch.manual_seed(0)
    kinds = [SamplingParams(logprobs=count) for count in (0, 1, 2, 5, 20)]
    rows = [row(kinds[number % 5]) for number in range(40)]
    logits = torch.randint(0, 4, (40, 500)).float()
    alone = [choose([one], own.unsqueeze(0))[0] for one, own in zip(rows, logits, strict=True)]
    assert choose(rows, logits) == alone


def test_of_tokens_that_tie_those_with_the_lowest_ids_are_told() -> None:
    [choice] = choose([row(SamplingParams(logprobs=3))], peak(7).unsqueeze(0))
    assert choice is not None
    assert choice.logprob is not None
    assert [token for token, _ in choice.logprob.top] == [7, EOS, FORK]


def test_a_token_that_cannot_come_is_not_among_the_likeliest() -> None:
    logits = torch.full((VOCABULARY,), float("-inf"))
    logits[[CHILD, 7, 8]] = torch.tensor([9.0, 2.0, 1.0])
    [choice] = choose([row(SamplingParams(logprobs=20))], logits.unsqueeze(0))
    assert choice is not None
    assert choice.logprob is not None
    assert [token for token, _ in choice.logprob.top] == [7, 8]


@pytest.mark.parametrize("repetition", [0.01, 100.0])
@pytest.mark.parametrize("others", [-2.0, 2.0])
@pytest.mark.parametrize("temperature", [0.0, 1e-30, 1.0])
def test_the_strongest_penalties_and_biases_still_give_a_token(
    repetition: float, others: float, temperature: float
) -> None:
    params = SamplingParams(
        temperature=temperature,
        repetition_penalty=repetition,
        presence_penalty=others,
        frequency_penalty=others,
        logit_bias={5: -100.0, 9: 100.0},
    )
    for scale in (0.0, 1.0, 1e4):
        logits = torch.linspace(-1, 1, VOCABULARY) * scale
        [choice] = choose([said(params, 3, 5, 5, 7, 9)], logits.unsqueeze(0))
        assert choice is not None
        assert choice.token in range(VOCABULARY)
        assert choice.token != CHILD


@pytest.mark.parametrize(
    ("candidates", "chances", "taken"),
    [
        ((7, 8), {6: 0.5, 7: 0.2, 8: 0.3}, 8),
        ((7,), {6: 0.5, 7: 0.5}, 7),
        ((7,), {6: 0.99, 7: 0.01}, 6),
        ((), {6: 1.0}, 6),
    ],
)
def test_inexact_drafts_count_where_they_are_likely_enough(
    candidates: tuple[int, ...], chances: dict[int, float], taken: int
) -> None:
    logits = torch.full((1, VOCABULARY), -50.0)
    for token, chance in chances.items():
        logits[0, token] = math.log(chance)
    seeds = [
        seed for seed in range(200) if choose([row(SamplingParams(temperature=1.0), seed)], logits)[0] == Sampled(6)
    ]
    inexact = [row(SamplingParams(temperature=1.0, draft_acceptance="typical"), seed) for seed in seeds]
    for place in inexact:
        place.candidates = candidates
    assert {token.token for token in choose(inexact, logits.expand(len(seeds), -1)) if token} == {taken}
