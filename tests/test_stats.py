from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apar.errors import TreeError
from apar.events import Delta, Event, Finished, Forked, Started, replay
from apar.stats import KvUse, event_stats, tree_stats
from apar.tree import Node, ParagraphTree, ThreadPath
from tests.trees import delta, encoded, shuffled, started, trees

LIST = ParagraphTree(Node("aa", Node("xxxx"), Node("b", Node("yy"), Node(""))))
"""A list of two items. Its threads, a token per character, [ for [Fork] and . for end-of-sequence:

step         0 1 2 3 4 5 6 7
(0,)         a a [ b [ .
(0, 0)             x x x x .
(0, 1)                 y y .
"""


def test_the_figures_of_a_small_list_are_those_counted_by_hand() -> None:
    stats = tree_stats(LIST, len)
    assert (stats.tokens, stats.threads, stats.forks, stats.depth) == (9, 3, 2, 2)
    assert stats.sequential_steps == 10
    assert stats.critical_path == 8
    assert stats.speedup == 9 / 8
    assert stats.threads_per_step == (1, 1, 1, 2, 2, 3, 2, 2)
    assert stats.peak_threads == 3
    assert stats.detail_tokens == (4, 2)
    # Sequential: the token of step k attends to k tokens.
    assert stats.attended_sequential == sum(range(10))
    # The root's six tokens, five after `aa[` and [Child], three after `aa[b[` and [Child].
    assert stats.attended_forked == sum(range(6)) + sum(range(4, 9)) + sum(range(6, 9))


def test_the_kv_of_a_thread_is_free_when_the_last_thread_that_sees_it_has_ended() -> None:
    stats = tree_stats(LIST, len)
    # By step: the root's tokens 0 1 2 3 4 5, and after its end 5, as (0, 1) still sees them;
    # (0, 0) with its [Child] from step 3: 1 2 3 4 5; (0, 1) with its [Child] from step 5: 1 2 3.
    held = [0, 1, 2, 3 + 1, 4 + 2, 5 + 3 + 1, 5 + 4 + 2, 5 + 5 + 3]
    assert stats.kv_forked == KvUse(max(held), sum(held))
    assert stats.kv_sequential == KvUse(9, sum(range(10)))


def test_an_early_finished_thread_gives_its_kv_back() -> None:
    short_details = Node("")
    for _ in range(20):
        short_details = Node("lead", Node("0123456789"), short_details)
    stats = tree_stats(ParagraphTree(short_details), len)
    assert stats.kv_forked.peak < stats.kv_sequential.peak
    assert stats.kv_forked.sum < stats.kv_sequential.sum / 2


def test_the_prompt_is_attended_to_by_every_token_and_held_in_every_step() -> None:
    bare, stats = tree_stats(LIST, len), tree_stats(LIST, len, prompt_tokens=100)
    assert stats.attended_sequential == bare.attended_sequential + 100 * 10
    assert stats.attended_forked == bare.attended_forked + 100 * 14
    assert stats.kv_forked == KvUse(bare.kv_forked.peak + 100, bare.kv_forked.sum + 100 * 8)
    assert stats.kv_sequential == KvUse(bare.kv_sequential.peak + 100, bare.kv_sequential.sum + 100 * 10)


def test_an_answer_without_forks_has_the_same_figures_forked_and_sequential() -> None:
    stats = tree_stats(ParagraphTree.leaf("plain"), len, prompt_tokens=3)
    assert stats.critical_path == stats.sequential_steps == 6
    assert stats.attended_forked == stats.attended_sequential
    assert stats.kv_forked == stats.kv_sequential
    assert stats.threads_per_step == (1,) * 6


def test_an_empty_answer_takes_one_step() -> None:
    stats = tree_stats(ParagraphTree.leaf(""), len)
    assert (stats.tokens, stats.critical_path, stats.speedup, stats.kv_forked) == (0, 1, 0.0, KvUse(0, 0))


@given(trees(), st.randoms(use_true_random=False), st.integers(0, 50))
def test_a_tree_and_its_events_give_the_same_figures(tree: ParagraphTree, rng: random.Random, prompt: int) -> None:
    events = shuffled(replay(encoded(tree)), rng)
    assert event_stats(events, prompt) == tree_stats(tree, len, prompt)


@given(trees())
def test_the_figures_are_those_of_a_cache_simulated_step_by_step(tree: ParagraphTree) -> None:
    events = list(replay(encoded(tree)))
    held, attended, alive = _simulate(events)
    stats = tree_stats(tree, len)
    assert stats.threads_per_step == tuple(alive)
    assert stats.attended_forked == attended
    assert stats.kv_forked == KvUse(max(held), sum(held))
    assert sum(alive) == stats.tokens + stats.forks + stats.threads
    assert stats.detail_tokens == tuple(end - at for at, end in tree.forks())


def _simulate(events: list[Event]) -> tuple[list[int], int, list[int]]:
    """Tokens held and threads alive in each step, and the sum attended to, with all paths written out."""
    paths: dict[ThreadPath, list[tuple[ThreadPath, int]]] = {}
    held, alive, attended = [], [], 0
    fed: dict[ThreadPath, int] = {}
    for step in range(max(event.step for event in events) + 1):
        now = [event for event in events if event.step == step]
        for event in now:
            if isinstance(event, Started):
                inherited = paths[event.parent][: _forked_at(events, event.thread, paths)] if event.parent else []
                paths[event.thread] = inherited + ([(event.thread, -1)] if event.parent else [])
        fed = {path: len(paths[path]) for path in _alive(events, step)}
        attended += sum(fed.values())
        alive.append(len(fed))
        held.append(len({token for path in fed for token in paths[path]}))
        for event in now:
            if isinstance(event, Delta | Forked):
                paths[event.thread].append((event.thread, step))
    return held, attended, alive


def _alive(events: list[Event], step: int) -> list[ThreadPath]:
    begun = [e.thread for e in events if isinstance(e, Started) and e.step <= step]
    return [path for path in begun if all(e.step >= step for e in _end(events, path))]


def _end(events: list[Event], path: ThreadPath) -> list[Event]:
    return [event for event in events if isinstance(event, Finished) and event.thread == path]


def _forked_at(events: list[Event], child: ThreadPath, paths: dict[ThreadPath, list[tuple[ThreadPath, int]]]) -> int:
    """The length of the parent's path once it ends in the `[Fork]` of `child`."""
    step = next(event.step for event in events if isinstance(event, Forked) and event.child == child)
    return paths[child[:-1]].index((child[:-1], step)) + 1


def test_an_answer_cut_by_its_budget_has_no_step_for_end_of_sequence() -> None:
    events: list[Event] = [
        started((0,), 0),
        delta((0,), 0, "a"),
        delta((0,), 1, "b"),
        Finished((0,), 1, "length"),
    ]
    stats = event_stats(events)
    assert (stats.tokens, stats.sequential_steps, stats.critical_path) == (2, 2, 2)
    # The last token was sampled and never read.
    assert stats.kv_forked == stats.kv_sequential == KvUse(1, 1)


def test_text_that_completes_a_broken_character_is_no_token() -> None:
    events: list[Event] = [
        started((0,), 0),
        delta((0,), 0, "a"),
        Delta((0,), 1, (), "\ufffd"),
        Finished((0,), 1, "eos"),
    ]
    assert event_stats(events).tokens == 1


def test_no_events_have_no_figures() -> None:
    with pytest.raises(TreeError, match="never started"):
        event_stats([])
