"""When a thread may fork or end."""

from __future__ import annotations

from typing import Any

import pytest

from apar.decoding.grammar import Effect
from apar.decoding.group import Group, Thread
from apar.decoding.lockstep import spawn
from apar.decoding.params import SamplingParams
from tests.engine.states import CHILD, EOS, FORK, forked, new_group


def may_fork(group: Group, thread: Thread) -> bool:
    banned = group.grammar.banned(thread.state, group.state)
    assert group.grammar.may_fork(thread.state, group.state) is (group.control is not None and FORK not in banned)
    return group.grammar.may_fork(thread.state, group.state)


def may_end(group: Group, thread: Thread) -> bool:
    assert group.grammar.may_end(thread.state) is (EOS not in group.grammar.banned(thread.state, group.state))
    return group.grammar.may_end(thread.state)


def test_a_token_says_something_or_forks_or_ends() -> None:
    grammar = new_group().grammar
    assert [grammar.effect(token) for token in (7, FORK, EOS)] == [Effect.SAY, Effect.FORK, Effect.END]
    assert new_group(control=False).grammar.effect(FORK) is Effect.SAY


def test_child_is_always_banned_where_the_model_has_it() -> None:
    for control in (True, False):
        group = new_group(control=control)
        [root] = group.threads
        root.tokens.append(5)
        assert (CHILD in group.grammar.banned(root.state, group.state)) is control


def test_a_thread_may_fork_once_it_has_said_something() -> None:
    group = new_group()
    [root] = group.threads
    assert not may_fork(group, root)
    root.tokens.append(5)
    assert may_fork(group, root)


def test_neither_fork_nor_child_may_be_followed_by_a_fork() -> None:
    group = new_group()
    [root] = group.threads
    root.tokens.append(5)
    child = forked(group, root)
    assert (root.tokens[-1], child.tokens[-2:]) == (FORK, [FORK, CHILD])
    assert not may_fork(group, root)
    assert not may_fork(group, child)
    root.tokens.append(5)
    child.tokens.append(5)
    assert may_fork(group, root)
    assert may_fork(group, child)


@pytest.mark.parametrize(
    ("limits", "may"),
    [
        ({"max_threads": 1}, False),
        ({"max_threads": 2}, True),
        ({"max_depth": 1}, False),
        ({"max_depth": 2}, True),
        ({"fork": False}, False),
        # The root's token of this step, or the child's first beside the root's next: two.
        ({"max_tokens": 1}, False),
        ({"max_tokens": 2}, True),
    ],
)
def test_the_limits_of_the_request_bound_forking(limits: dict[str, Any], may: bool) -> None:
    group = new_group(params=SamplingParams(**limits))
    [root] = group.threads
    root.tokens.append(5)
    assert may_fork(group, root) is may


def test_the_context_must_hold_the_fork_the_child_and_its_first_token() -> None:
    for room, may in ((2, False), (3, True)):
        group = new_group(prompt=4, context=5 + room)
        [root] = group.threads
        root.tokens.append(5)
        assert may_fork(group, root) is may


def test_a_model_without_control_tokens_never_forks() -> None:
    group = new_group(control=False)
    [root] = group.threads
    root.tokens.append(5)
    assert not may_fork(group, root)


def test_a_detail_has_text_before_it_ends_and_a_parent_may_end_right_after_a_fork() -> None:
    group = new_group()
    [root] = group.threads
    assert may_end(group, root)
    root.tokens.append(5)
    child = forked(group, root)
    assert may_end(group, root)
    assert not may_end(group, child)
    child.tokens.append(5)
    assert may_end(group, child)


def test_a_child_has_its_parents_path_and_the_next_number() -> None:
    group = new_group(prompt=4)
    [root] = group.threads
    root.tokens += [5, FORK]
    first = spawn(group, root)
    root.tokens += [6, FORK]
    second = spawn(group, root)
    assert (first.path, first.tokens[4:], first.starts) == ((0, 0), [5, FORK, CHILD], (4, 7))
    assert (second.path, second.tokens[4:], second.starts) == ((0, 1), [5, FORK, 6, FORK, CHILD], (4, 9))
    assert group.created == 3


def test_paths_share_what_comes_before_their_branch() -> None:
    group = new_group(prompt=4)
    [root] = group.threads
    root.tokens.append(5)
    first = forked(group, root)
    first.tokens += [6, 6]
    nested = forked(group, first)
    root.tokens.append(5)
    second = forked(group, root)
    pairs = [(root, first, 6), (root, second, 8), (first, second, 6), (first, nested, 10), (nested, second, 6)]
    for one, other, shared in pairs:
        assert one.common(other) == other.common(one) == shared
        assert one.tokens[:shared] == other.tokens[:shared]
        assert one.tokens[: shared + 1] != other.tokens[: shared + 1]
