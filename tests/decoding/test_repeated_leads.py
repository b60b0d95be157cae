"""What a logical step makes of a lead that is said again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from apar.decoding.forced_answer import ForcedAnswer
from apar.decoding.group import Group
from apar.decoding.lockstep import complete_step
from apar.decoding.params import SamplingParams
from apar.errors import RequestError
from apar.events import Delta, Event, Finished, Forked, Started
from tests.engine.states import EOS, FORK, choose, new_group

ROOT, FIRST, SECOND = (0,), (0, 0), (0, 1)
A, B, C = 3, 4, 5
GUARDED = SamplingParams(repeated_leads="end")


def step(group: Group, *tokens: int) -> list[Event]:
    """Complete a step in which the live threads sampled `tokens`; its events."""
    before = len(group.events)
    choose(group, tokens)
    assert not complete_step(group).refused
    return group.events[before:]


def forked_once(params: SamplingParams = GUARDED) -> Group:
    """The root has forked behind the lead `ab`, its detail is `c`, and the root has said `ab` again."""
    group = new_group(params=params)
    for token in (A, B, FORK):
        step(group, token)
    assert step(group, A, C) == [Started(FIRST, ROOT, 3), Delta(FIRST, 3, (C,), "c")]
    assert step(group, B, EOS) == [Finished(FIRST, 4, "eos")]
    return group


def test_it_ends_the_thread_and_is_not_told() -> None:
    group = forked_once()
    assert step(group, FORK) == [Finished(ROOT, 5, "repeated")]
    assert group.done
    assert group.assembler.text == "abc"
    assert group.finish_reason == "stop"
    assert (group.visible_tokens, group.created, group.step) == (5, 2, 6)


def test_what_only_began_like_it_is_told_at_the_steps_at_which_it_was_sampled() -> None:
    group = forked_once()
    assert step(group, C) == [Delta(ROOT, 3, (A,), "a"), Delta(ROOT, 4, (B,), "b"), Delta(ROOT, 5, (C,), "c")]
    assert step(group, FORK) == [Forked(ROOT, SECOND, 6)]


HELD = [Delta(ROOT, 3, (A,), "a"), Delta(ROOT, 4, (B,), "b")]


def test_it_is_told_where_the_thread_ends_otherwise() -> None:
    assert step(forked_once(), EOS) == [*HELD, Finished(ROOT, 5, "eos")]
    cut = replace(GUARDED, max_tokens=6)
    assert step(forked_once(cut), C) == [*HELD, Delta(ROOT, 5, (C,), "c"), Finished(ROOT, 5, "length")]


def test_it_is_told_where_the_budget_ends_with_it() -> None:
    group = new_group(params=replace(GUARDED, max_tokens=5))
    for tokens in ((A,), (B,), (FORK,), (A, C)):
        step(group, *tokens)
    assert step(group, B, EOS) == [*HELD, Finished(ROOT, 4, "length"), Finished(FIRST, 4, "eos")]


def test_a_stop_string_is_not_met_in_what_is_held_back() -> None:
    group = forked_once(replace(GUARDED, stop=("ca", "cab")))
    assert not group.assembler.stopped
    assert step(group, C)[-1] == Finished(ROOT, 5, "stop")
    assert group.assembler.text == "ab"
    dropped = forked_once(replace(GUARDED, stop=("ca",)))
    assert step(dropped, FORK) == [Finished(ROOT, 5, "repeated")]
    assert dropped.assembler.text == "abc"


def test_what_is_allowed_forks_again() -> None:
    group = new_group()
    for tokens in ((A,), (FORK,), (A, C)):
        step(group, *tokens)
    assert step(group, FORK, EOS)[0] == Forked(ROOT, SECOND, 3)


def test_it_takes_no_place_from_the_forks_of_its_step() -> None:
    group = new_group(params=replace(GUARDED, max_threads=3))
    for tokens in ((A,), (FORK,), (A, C)):
        step(group, *tokens)
    told = step(group, FORK, FORK)
    assert told == [Finished(ROOT, 3, "repeated"), Forked(FIRST, (0, 0, 0), 3)]


def test_every_thread_has_leads_of_its_own() -> None:
    group = new_group(params=GUARDED)
    for tokens in ((A,), (FORK,), (B, A)):
        step(group, *tokens)
    assert step(group, FORK, FORK) == [Forked(ROOT, SECOND, 3), Forked(FIRST, (0, 0, 0), 3)]


def test_a_forced_answer_has_no_use_for_it() -> None:
    forced = ForcedAnswer({ROOT: (A, EOS)}, 1, 1)
    with pytest.raises(RequestError, match="leave out repeated_leads"):
        forced.check(GUARDED, 1, 100)
