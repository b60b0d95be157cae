"""Guesses by Medusa heads and by what was said before."""

from __future__ import annotations

import random

import torch

from apar.decoding.params import SamplingParams
from apar.engine.drafts.medusa import MedusaDrafts
from apar.engine.drafts.ngram import LENGTHS, MOST, READ_AT_ONCE, NgramDrafts, _Index
from tests.engine.states import FORK, choose, forked, new_group

VOCABULARY = 20


def peaks(*heads: dict[int, float]) -> torch.Tensor:
    """Logits [heads, 1, vocabulary] with these probabilities; the rest is for token 19."""
    logits = torch.full((len(heads), 1, VOCABULARY), -30.0)
    for number, chances in enumerate(heads):
        for token, chance in (chances | {19: 1 - sum(chances.values())}).items():
            logits[number, 0, token] = torch.tensor(max(chance, 1e-12)).log()
    return logits


def test_heads_guess_behind_each_other_the_likeliest_branches_first() -> None:
    group, medusa = new_group(), MedusaDrafts(2)
    [thread] = group.threads
    medusa.take([thread], peaks({5: 0.6, 6: 0.3}, {7: 0.9}))
    found = [(each.token, each.parent) for each in medusa.candidates(group, thread)]
    assert found[:4] == [(5, -1), (7, 0), (6, -1), (7, 2)]
    chances = [each.prior for each in medusa.candidates(group, thread)]
    assert abs(chances[0] - 0.6) < 1e-3
    assert abs(chances[1] - 0.9) < 1e-3


def test_guesses_are_for_the_path_at_which_they_were_made() -> None:
    group, medusa = new_group(), MedusaDrafts(1)
    [thread] = group.threads
    medusa.take([thread], peaks({5: 0.9}))
    choose(group, [7])
    assert medusa.candidates(group, thread) == []
    thread.ahead.clear()
    assert medusa.candidates(group, thread) != []
    medusa.keep([])
    assert medusa.candidates(group, thread) == []


def test_a_guess_without_a_chance_is_none() -> None:
    group, medusa = new_group(), MedusaDrafts(1)
    medusa.take(group.threads, peaks({5: 0.5, 6: 0.001}))
    assert 6 not in [each.token for each in medusa.candidates(group, group.threads[0])]


def test_an_ngram_goes_on_as_it_did_last() -> None:
    group, ngram = new_group(), NgramDrafts()
    [thread] = group.threads
    thread.tokens[:] = [3, 4, 5, 6, 7, 3, 4, 5, 8, 9, 3, 4, 5]
    group.prompt_tokens, thread.starts = 13, (13,)
    found = ngram.candidates(group, thread)
    assert [each.token for each in found] == [8, 9, 3, 4, 5]
    assert [each.parent for each in found] == [-1, 0, 1, 2, 3]
    thread.tokens += [6]
    assert [each.token for each in ngram.candidates(group, thread)] == [7, 3, 4, 5, 8, 9][:MOST]


def test_a_thread_finds_what_its_sibling_said_even_a_finished_one() -> None:
    group, ngram = new_group(params=SamplingParams()), NgramDrafts()
    [root] = group.threads
    root.tokens += [5]
    one = forked(group, root)
    one.tokens += [10, 11, 12, 13]
    ngram.candidates(group, one)
    root.tokens += [6]
    two = forked(group, root)
    group.threads.remove(one)
    two.tokens += [14, 10, 11]
    assert [each.token for each in ngram.candidates(group, two)] == [12, 13]


def test_a_fork_may_be_guessed() -> None:
    group, ngram = new_group(), NgramDrafts()
    [thread] = group.threads
    thread.tokens[:] = [3, 4, FORK, 3, 4]
    group.prompt_tokens, thread.starts = 5, (5,)
    assert [each.token for each in ngram.candidates(group, thread)] == [FORK, 3, 4]


def test_a_long_prompt_is_read_in_parts_and_the_latest_place_counts() -> None:
    numbers = random.Random(1)
    group, ngram = new_group(), NgramDrafts()
    [thread] = group.threads
    prompt = [numbers.randrange(3, 12) for _ in range(3 * READ_AT_ONCE)]
    thread.tokens[:] = prompt
    group.prompt_tokens, thread.starts = len(prompt), (len(prompt),)
    ngram.candidates(group, thread)
    index = ngram._indices[group]
    assert 0 < index.unread < len(prompt) - READ_AT_ONCE + 1
    for _ in range(3):
        ngram.candidates(group, thread)
    whole = _Index()
    whole.add(prompt, 0)
    assert {found: place for found, (_, place) in index.places.items()} == {
        found: place for found, (_, place) in whole.places.items()
    }


def test_every_ngram_of_a_text_is_found_however_the_text_came() -> None:
    numbers = random.Random(0)
    text = [numbers.randrange(3, 8) for _ in range(200)]
    whole, parts = _Index(), _Index()
    whole.add(text, 0)
    begin, grown = 0, list[int]()
    while begin < len(text):
        grown += text[begin : begin + numbers.randint(1, 5)]
        parts.add(grown, begin)
        begin = len(grown)
    expected = {tuple(text[end - n : end]): end for end in range(2, len(text)) for n in LENGTHS if n <= end}
    assert {ngram: place for ngram, (_, place) in whole.places.items()} == expected
    assert {ngram: place for ngram, (_, place) in parts.places.items()} == expected
