"""What the end of a logical step makes of the tokens that were sampled in it."""

from __future__ import annotations

import pytest

from apar.decoding.group import Group, Sampled
from apar.decoding.lockstep import complete_step
from apar.decoding.params import SamplingParams
from apar.errors import RunError
from apar.events import Delta, Event, Finished, Forked, Started
from tests.engine.states import EOS, FORK, choose, new_group

ROOT, FIRST, SECOND = (0,), (0, 0), (0, 1)
A, B, C = 3, 4, 5


def step(group: Group, *tokens: int) -> list[Event]:
    """Complete a step in which the live threads sampled `tokens`, and `A` where that was refused; its events."""
    before = len(group.events)
    choose(group, tokens)
    for thread in complete_step(group).refused:
        thread.ahead.append(Sampled(A))
        complete_step(group)
    return group.events[before:]


def test_a_step_tells_each_threads_events_in_path_order() -> None:
    group = new_group()
    assert step(group, A) == [Started(ROOT, None, 0), Delta(ROOT, 0, (A,), "a")]
    assert step(group, FORK) == [Forked(ROOT, FIRST, 1)]
    assert step(group, B, C) == [Delta(ROOT, 2, (B,), "b"), Started(FIRST, ROOT, 2), Delta(FIRST, 2, (C,), "c")]
    assert step(group, EOS, A) == [Finished(ROOT, 3, "eos"), Delta(FIRST, 3, (A,), "a")]
    assert step(group, EOS) == [Finished(FIRST, 4, "eos")]
    assert group.done
    assert group.assembler.text == "acab"


def test_a_fork_beside_a_thread_that_ends_is_not_lost() -> None:
    group = new_group()
    step(group, A)
    step(group, FORK)
    step(group, A, A)
    assert step(group, EOS, FORK) == [Finished(ROOT, 3, "eos"), Forked(FIRST, (0, 0, 0), 3)]
    assert [thread.path for thread in group.threads] == [FIRST, (0, 0, 0)]


def test_two_threads_that_want_the_last_fork_are_served_in_path_order() -> None:
    group = new_group(params=SamplingParams(max_threads=3))
    step(group, A)
    step(group, FORK)
    step(group, A, B)
    assert step(group, FORK, FORK) == [Forked(ROOT, SECOND, 3), Delta(FIRST, 3, (A,), "a")]


def test_the_budget_is_spent_in_path_order_and_ends_all_open_threads() -> None:
    group = new_group(params=SamplingParams(max_tokens=4))
    step(group, A)
    step(group, FORK)
    step(group, B, C)
    assert step(group, A, A) == [
        Delta(ROOT, 3, (A,), "a"),
        Finished(ROOT, 3, "length"),
        Finished(FIRST, 3, "length"),
    ]
    assert group.done


def test_a_thread_that_ends_by_itself_when_the_budget_is_spent_ended_by_itself() -> None:
    group = new_group(params=SamplingParams(max_tokens=4))
    step(group, A)
    step(group, FORK)
    step(group, B, C)
    assert step(group, A, EOS)[-1] == Finished(FIRST, 3, "eos")


def test_one_thread_at_the_end_of_the_context_does_not_stop_the_others() -> None:
    group = new_group(prompt=4, context=8)
    step(group, A)
    step(group, FORK)
    # The detail's path is one longer than its parent's, for [Child].
    assert step(group, B, C)[-1] == Finished(FIRST, 2, "length")
    assert [thread.path for thread in group.threads] == [ROOT]
    assert step(group, B)[-1] == Finished(ROOT, 3, "length")


def test_a_stop_string_across_a_nodes_border_cancels_what_follows_it() -> None:
    group = new_group(params=SamplingParams(stop=("ab",)))
    step(group, C)
    step(group, A)
    step(group, FORK)
    assert step(group, C, B) == [
        Delta(ROOT, 3, (C,), "c"),
        Finished(ROOT, 3, "cancelled"),
        Started(FIRST, ROOT, 3),
        Delta(FIRST, 3, (B,), "b"),
        Finished(FIRST, 3, "stop"),
    ]
    assert group.assembler.text == "c"


def test_a_fork_in_the_step_of_the_stop_is_not_carried_out() -> None:
    group = new_group(params=SamplingParams(stop=("b",)))
    step(group, A)
    step(group, FORK)
    step(group, A, A)
    assert step(group, FORK, B) == [
        Finished(ROOT, 3, "cancelled"),
        Delta(FIRST, 3, (B,), "b"),
        Finished(FIRST, 3, "stop"),
    ]
    assert group.done


def test_a_stop_string_in_text_that_waits_counts_only_when_it_is_read() -> None:
    group = new_group(params=SamplingParams(stop=("bb",)))
    step(group, A)
    step(group, FORK)
    step(group, B, A)
    step(group, B, A)
    assert not group.done
    step(group, C, EOS)
    assert group.done
    assert group.assembler.text == "aaa"
    assert group.events[-1] == Finished(FIRST, 4, "eos")
    assert Finished(ROOT, 4, "stop") in group.events


def test_a_refused_thread_keeps_the_others_waiting_and_is_named() -> None:
    group = new_group(params=SamplingParams(max_threads=2))
    step(group, A)
    step(group, FORK)
    root, child = group.threads
    step(group, B, C)
    choose(group, [A, FORK])
    events = list(group.events)
    completed = complete_step(group)
    assert (completed.refused, completed.sampled, completed.ended) == ([child], [], [])
    assert (list(root.ahead), list(child.ahead), child.refused) == ([Sampled(A)], [], frozenset([FORK]))
    assert group.events == events
    assert not group.ready


def test_what_is_ahead_of_a_refused_token_does_not_count() -> None:
    group = new_group()
    [root] = group.threads
    root.ahead.extend(map(Sampled, (FORK, A, B)))
    assert complete_step(group).refused == [root]
    assert not root.ahead


def test_an_engine_that_samples_a_refused_token_again_is_at_fault() -> None:
    group = new_group()
    choose(group, [FORK])
    complete_step(group)
    choose(group, [FORK])
    with pytest.raises(RunError, match="though it was banned"):
        complete_step(group)


def test_several_tokens_ahead_are_as_many_steps() -> None:
    group = new_group()
    [root] = group.threads
    root.ahead.extend(map(Sampled, (A, FORK, B, EOS)))
    complete_step(group)
    complete_step(group)
    _, child = group.threads
    child.ahead.extend(map(Sampled, (C, C, EOS)))
    while group.ready:
        complete_step(group)
    assert group.done
    assert (group.assembler.text, group.step) == ("accb", 5)
