"""Which guesses are verified."""

from __future__ import annotations

from apar.decoding.group import Thread
from apar.engine.drafts.acceptance import Acceptance
from apar.engine.drafts.choice import Guess, best, merged
from apar.engine.drafts.source import Candidate
from tests.engine.states import new_group


def thread() -> Thread:
    return new_group().threads[0]


def chain(*values: float) -> list[Guess]:
    return [Guess(number, number - 1, number, "kind", value) for number, value in enumerate(values)]


def candidate(token: int, parent: int, prior: float, kind: str = "kind") -> Candidate:
    return Candidate(token, parent, kind, prior)


def test_a_branch_is_as_likely_as_all_its_guesses_together() -> None:
    tree = merged([[candidate(5, -1, 0.5), candidate(6, 0, 0.5), candidate(7, -1, 0.25)]], Acceptance(), 9)
    assert [(guess.token, guess.parent, guess.depth, guess.value) for guess in tree] == [
        (5, -1, 0, 0.5),
        (6, 0, 1, 0.25),
        (7, -1, 0, 0.25),
    ]


def test_the_same_guess_of_two_sources_is_one_with_the_better_chance() -> None:
    one = [candidate(5, -1, 0.2, "a"), candidate(6, 0, 0.5, "a")]
    two = [candidate(5, -1, 0.8, "b"), candidate(9, 0, 0.5, "b")]
    tree = merged([one, two], Acceptance(), 9)
    assert [(guess.token, guess.parent, guess.kind) for guess in tree] == [(5, -1, "b"), (6, 0, "a"), (9, 0, "b")]
    assert [guess.value for guess in tree] == [0.8, 0.1, 0.4]


def test_no_branch_is_longer_than_it_may_be_and_nothing_follows_what_was_left_out() -> None:
    tree = merged([[candidate(5, -1, 0.5), candidate(6, 0, 0.5), candidate(7, 1, 0.5)]], Acceptance(), 1)
    assert [guess.token for guess in tree] == [5]


def test_an_end_is_never_guessed_nor_what_is_behind_it() -> None:
    guesses = [candidate(5, -1, 0.5), candidate(0, 0, 0.5), candidate(7, 1, 0.5), candidate(8, 0, 0.5)]
    tree = merged([guesses], Acceptance(), 9, frozenset([0]))
    assert [(guess.token, guess.parent) for guess in tree] == [(5, -1), (8, 0)]


def test_what_was_seen_counts_more_than_what_was_thought_before() -> None:
    acceptance = Acceptance()
    for _ in range(400):
        acceptance.observe("kind", right=False)
        acceptance.observe("other", right=True)
    tree = merged([[candidate(5, -1, 0.9), candidate(6, -1, 0.1, "other")]], acceptance, 9)
    assert tree[0].value < 0.05
    assert tree[1].value > 0.95


def test_guesses_are_taken_while_they_bring_more_than_they_cost() -> None:
    one, two = thread(), thread()
    trees = {one: chain(0.9, 0.5, 0.01), two: chain(0.8, 0.1)}
    free = best(trees, 2, lambda tokens: 1.0)
    assert {each: len(proposal.draft) for each, proposal in free.items()} == {one: 3, two: 2}
    cheap = best(trees, 2, lambda tokens: 6 + 3 * tokens)
    assert {each: len(proposal.draft) for each, proposal in cheap.items()} == {one: 1, two: 1}
    assert best(trees, 2, lambda tokens: float(tokens)) == {}
    assert sum(len(each.draft) for each in best(trees, 2, lambda tokens: float(tokens), forced=2).values()) == 2


def test_a_chosen_part_of_a_tree_has_the_parents_of_its_guesses() -> None:
    only = thread()
    tree = [Guess(5, -1, 0, "k", 0.5), Guess(6, -1, 0, "k", 0.02), Guess(7, 0, 1, "k", 0.4), Guess(8, 2, 2, "k", 0.3)]
    [proposal] = best({only: tree}, 1, lambda tokens: 100 + 10 * tokens).values()
    assert (proposal.draft.tokens, proposal.draft.parents) == ((5, 7, 8), (-1, 0, 1))
    assert [guess.token for guess in proposal.guesses] == [5, 7, 8]
