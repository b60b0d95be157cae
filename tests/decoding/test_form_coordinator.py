"""Answers that fork by their form, decoded by requests: those of the slow engine, whatever the requests' speeds."""

from __future__ import annotations

from collections import Counter

import pytest

from apar.decoding.coordinator import Actions
from apar.decoding.form_coordinator import FormCoordinator
from apar.decoding.group import Group, Sampled
from apar.errors import RunError
from apar.events import Delta, Finished
from apar.tree import ROOT
from tests.decoding.by_form.request_lives import Case, compare
from tests.decoding.by_form.test_form_steps import EOS, PIECES, Script

CASES = 200


def test_random_answers_are_those_of_the_slow_engine_event_for_event() -> None:
    counts: Counter[str] = Counter()
    found = [compare(number, counts) for number in range(CASES)]
    assert [difference for difference in found if difference] == []
    assert counts["forks"] > CASES / 4
    assert counts["nested forks"] > 0


def test_from_a_seed_an_answer_is_the_same_whoever_was_ahead() -> None:
    for number in range(60):
        case = Case(number, temperature=1.0)
        one, other = case.sampled(speeds=1), case.sampled(speeds=2)
        assert one.events == other.events
    assert Case(0, temperature=1.0).sampled(3).events != Case(1, temperature=1.0).sampled(3).events


def _group(**params: object) -> Group:
    return Script({}, **params).group  # type: ignore[arg-type]


def _say(coordinator: FormCoordinator, actions: Actions, pieces: list[str]) -> Actions:
    [request] = actions.start
    for piece in pieces:
        coordinator.on_tokens(request, [Sampled(PIECES.index(piece))], ended=False)
    return coordinator.actions()


LEAD = list("Tips, \n\n1. Rest:")


def test_a_fork_ends_the_parents_request_and_starts_two() -> None:
    group = _group(max_tokens=90)
    coordinator = FormCoordinator(group)
    first = coordinator.actions()
    [root] = first.start
    assert (root.parent, root.opens, root.limit) == (None, True, 90)
    actions = _say(coordinator, first, LEAD)
    assert actions.abort == [root]
    parent, child = actions.start
    assert ("".join(PIECES[token] for token in parent.tokens[3:]), parent.thread) == ("".join(LEAD) + "\n\n2.", ROOT)
    assert ("".join(PIECES[token] for token in child.tokens[3:]), child.thread) == ("".join(LEAD), (0, 0))
    assert (parent.opens, child.opens, child.parent) == (False, True, parent.number)
    assert not coordinator.wants(root)
    coordinator.on_tokens(root, [Sampled(1)], ended=True)
    assert not coordinator.actions().start


def test_what_may_not_begin_a_detail_is_refused_at_once_and_banned() -> None:
    group = _group(max_tokens=90)
    coordinator = FormCoordinator(group)
    _, child = _say(coordinator, coordinator.actions(), LEAD).start
    newline = PIECES.index("\n")
    coordinator.on_tokens(child, [Sampled(newline), Sampled(5)], ended=False)
    actions = coordinator.actions()
    [again] = actions.start
    assert actions.abort == [child]
    assert (again.banned, again.limit, again.tokens, again.tries) == ({newline}, 1, child.tokens, 1)
    assert again.seed(group) != child.seed(group)
    with pytest.raises(RunError, match="though it was banned"):
        coordinator.on_tokens(again, [Sampled(newline)], ended=True)


def test_an_engine_without_bans_is_asked_some_times_and_then_a_space_begins_the_detail() -> None:
    group = _group(max_tokens=90)
    space = PIECES.index(" ")
    coordinator = FormCoordinator(group, most_tries=2, stand_in=space)
    parent, child = _say(coordinator, coordinator.actions(), LEAD).start
    for tries in (1, 2):
        coordinator.on_tokens(child, [Sampled(EOS)], ended=True)
        [child] = coordinator.actions().start
        assert child.tries == tries
    coordinator.on_tokens(child, [Sampled(EOS)], ended=True)
    [child] = coordinator.actions().start
    assert PIECES[child.tokens[-1]] == " "
    coordinator.on_tokens(parent, [Sampled(PIECES.index(" ")), Sampled(PIECES.index("W"))], ended=False)
    for _ in range(3):
        coordinator.on_tokens(child, [Sampled(EOS)], ended=True)
        [child] = coordinator.actions().start or [child]
    ends = [event.thread for event in group.events if isinstance(event, Finished)]
    assert ends == [(0, 0)]
    assert not any(isinstance(event, Delta) and event.thread == (0, 0) and event.text for event in group.events)


def test_threads_that_are_far_ahead_wait_for_the_others() -> None:
    group = _group(max_tokens=90)
    coordinator = FormCoordinator(group)
    parent, child = _say(coordinator, coordinator.actions(), LEAD).start
    coordinator.on_tokens(child, [Sampled(PIECES.index("a"))] * 20, ended=False)
    assert coordinator.actions().abort == [child]
    for _ in range(11):
        coordinator.on_tokens(parent, [Sampled(PIECES.index("a"))], ended=False)
    assert not coordinator.actions().start
    coordinator.on_tokens(parent, [Sampled(PIECES.index("a"))], ended=False)
    [again] = coordinator.actions().start
    assert (again.thread, again.sampled, len(again.tokens)) == ((0, 0), 20, len(child.tokens) + 20)


def test_an_engine_that_gives_nothing_is_an_error() -> None:
    coordinator = FormCoordinator(_group())
    [root] = coordinator.actions().start
    with pytest.raises(RunError, match="without a token"):
        coordinator.on_tokens(root, (), ended=True)


def test_aborting_ends_every_request() -> None:
    coordinator = FormCoordinator(_group(max_tokens=90))
    parent, child = _say(coordinator, coordinator.actions(), LEAD).start
    coordinator.abort()
    assert coordinator.actions().abort == [parent, child]
