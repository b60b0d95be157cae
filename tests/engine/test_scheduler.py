"""Which threads run, in which blocks, and what is given up when blocks are short."""

from __future__ import annotations

import pytest

from apar.decoding.group import Group
from apar.decoding.lockstep import complete_step
from apar.decoding.params import SamplingParams
from apar.scheduling.blocks import BlockPool
from apar.scheduling.scheduler import STARVATION_LIMIT, DuplicateWrite, Pass, Scheduler
from apar.tree import ThreadPath
from tests.engine.states import FORK, choose, new_group

ROOT, FIRST = (0,), (0, 0)
A = 3


def scheduler(blocks: int = 100, block_size: int = 4, rows: int = 64, tokens: int = 1000) -> Scheduler:
    return Scheduler(BlockPool(blocks, block_size), rows, tokens)


def rows(work: Pass) -> list[tuple[int, ThreadPath, int]]:
    """Each row's group, thread, and how many tokens it is fed."""
    return [(row.group.number, row.thread.path, row.length) for row in work.rows.values()]


def run(schedule: Scheduler, groups: list[Group]) -> Pass:
    """Plan and commit one pass; nothing is sampled yet."""
    work = schedule.plan(groups)
    schedule.commit(work, groups)
    schedule.pool.check([thread.blocks for group in groups for thread in group.threads])
    return work


def advance(schedule: Scheduler, group: Group, *tokens: int) -> None:
    """Run a pass of one group, and complete its step with `tokens`."""
    run(schedule, [group])
    choose(group, tokens)
    for thread in complete_step(group).ended:
        schedule.release(group, thread)


def at_fork(schedule: Scheduler, prompt: int) -> Group:
    """A group whose root has sampled a word and a fork; with `[Fork]` its path has `prompt + 2` tokens."""
    group = new_group(prompt)
    advance(schedule, group, A)
    advance(schedule, group, FORK)
    return group


def test_prompts_and_single_tokens_share_a_pass() -> None:
    schedule = scheduler()
    old, new = new_group(5), new_group(7, number=1)
    advance(schedule, old, A)
    assert rows(run(schedule, [old, new])) == [(0, ROOT, 1), (1, ROOT, 7)]


def test_rows_are_given_in_order_of_arrival_and_of_paths() -> None:
    schedule = scheduler(rows=2)
    first, second = at_fork(schedule, 4), new_group(3, number=1)
    assert rows(run(schedule, [first, second])) == [(0, ROOT, 1), (0, FIRST, 1)]
    choose(first, [A, A])
    assert rows(run(schedule, [first, second])) == [(1, ROOT, 3)]


def test_a_long_prompt_is_fed_in_chunks_beside_the_threads_that_are_fed_one_token() -> None:
    schedule = scheduler(tokens=8)
    old, long, short = new_group(4), new_group(20, number=1), new_group(3, number=2)
    advance(schedule, old, A)
    for expected in (
        [(0, ROOT, 1), (1, ROOT, 7)],
        [(0, ROOT, 1), (1, ROOT, 7)],
        [(0, ROOT, 1), (1, ROOT, 6), (2, ROOT, 1)],
    ):
        work = run(schedule, [old, long, short])
        assert rows(work) == expected
        sampled = [row.sampled for row in work.rows.values()]
        choose(old, [A])
        complete_step(old)
    assert sampled == [True, True, False]


def test_threads_that_are_fed_one_token_come_before_the_chunks_of_an_earlier_prompt() -> None:
    schedule = scheduler(tokens=4)
    late = new_group(2, number=1)
    advance(schedule, late, A)
    assert rows(run(schedule, [new_group(20), late])) == [(0, ROOT, 3), (1, ROOT, 1)]


def test_a_new_child_comes_before_the_chunks_of_an_earlier_prompt() -> None:
    schedule = scheduler(tokens=4)
    late = at_fork(schedule, 4)
    late.number = 1
    assert rows(run(schedule, [new_group(20), late])) == [(0, ROOT, 2), (1, ROOT, 1), (1, FIRST, 1)]


def test_what_is_kept_for_a_new_child_goes_to_nobody_else() -> None:
    schedule = scheduler(tokens=4)
    first, second = new_group(2), new_group(2, number=1)
    for token in (A, FORK):
        run(schedule, [first, second])
        for group in (first, second):
            choose(group, [token])
            complete_step(group)
    groups = [first, new_group(20, number=2), second]
    assert rows(run(schedule, groups)) == [(0, ROOT, 1), (0, FIRST, 1), (1, ROOT, 1), (1, FIRST, 1)]


def test_two_new_paths_that_begin_alike_are_not_both_computed() -> None:
    schedule = scheduler(block_size=4)
    first, second = new_group(10), new_group(10)
    second.number = 1
    assert rows(run(schedule, [first, second])) == [(0, ROOT, 10)]
    choose(first, [A])
    assert rows(run(schedule, [first, second])) == [(1, ROOT, 2)]
    assert second.threads[0].blocks[:2] == first.threads[0].blocks[:2]
    assert (first.cached_tokens, second.cached_tokens) == (0, 8)


def test_the_next_turn_of_a_chat_finds_what_the_last_one_computed() -> None:
    schedule = scheduler(blocks=10, block_size=4)
    first = new_group(6)
    for _ in range(3):
        advance(schedule, first, A)
    advance(schedule, first, 0)
    assert (first.done, schedule.pool.num_free, schedule.pool.num_kept) == (True, 10, 2)
    second = new_group(6, number=1)
    second.threads[0].tokens = [9] * 6 + [A] * 3 + [9] * 3
    assert rows(run(schedule, [second])) == [(1, ROOT, 4)]
    assert second.cached_tokens == 8


def test_what_is_kept_gives_way_the_oldest_first() -> None:
    schedule = scheduler(blocks=4, block_size=4)
    for number in range(3):
        group = new_group(5, number=number)
        advance(schedule, group, 0)
    assert schedule.pool.num_free == 4
    again = [new_group(5, number=number) for number in range(3)]
    assert [len(schedule.pool.prefixes.find(group.threads[0].tokens)[0]) for group in again] == [1, 1, 1]
    large = new_group(11, number=7)
    advance(schedule, large, 0)
    found = [len(schedule.pool.prefixes.find(group.threads[0].tokens)[0]) for group in again]
    assert found == [0, 0, 1]


def test_higher_priority_runs_first_and_takes_blocks_from_lower() -> None:
    schedule = scheduler(blocks=4, block_size=4, rows=1)
    low, high = new_group(8), new_group(12, number=1, params=SamplingParams(priority=2))
    run(schedule, [low])
    assert rows(run(schedule, [low, high])) == [(1, ROOT, 12)]
    assert (low.blocks, low.preemptions) == (0, 1)


def test_a_group_of_high_priority_enters_in_the_place_of_lower_ones() -> None:
    schedule = scheduler(blocks=8, block_size=4)
    schedule.growth.share = 0.0
    high = SamplingParams(priority=1)
    running, low, new = new_group(4, params=high), new_group(20, number=1), new_group(16, number=2, params=high)
    advance_all(schedule, [running, low])
    assert (running.blocks, low.blocks, schedule.pool.num_free) == (1, 5, 2)
    assert rows(run(schedule, [running, low, new])) == [(0, ROOT, 1), (2, ROOT, 16)]
    assert (low.blocks, low.preemptions) == (0, 1)


@pytest.mark.parametrize("priority", [0, 1])
def test_a_group_takes_no_blocks_of_its_own_priority_to_enter(priority: int) -> None:
    schedule = scheduler(blocks=8, block_size=4)
    schedule.growth.share = 0.0
    params = SamplingParams(priority=priority)
    groups = [new_group(length, params=params, number=number) for number, length in enumerate((4, 16, 20))]
    advance_all(schedule, [groups[0], groups[2]])
    assert rows(run(schedule, groups)) == [(0, ROOT, 1), (2, ROOT, 1)]
    assert schedule.preemptions == 0


def test_blocks_that_others_hold_too_are_none_that_a_lower_group_can_give() -> None:
    schedule = scheduler(blocks=8, block_size=4)
    schedule.growth.share = 0.0
    high = SamplingParams(priority=1)
    running, low, new = new_group(17, params=high), new_group(17), new_group(12, number=2, params=high)
    low.number = 1
    advance_all(schedule, [running])
    advance_all(schedule, [running, low])
    assert (running.blocks, low.blocks, schedule.pool.num_free) == (5, 5, 2)
    assert rows(run(schedule, [running, low, new])) == [(0, ROOT, 1), (1, ROOT, 1)]


def test_a_group_that_is_skipped_too_often_comes_first_once() -> None:
    schedule = scheduler(blocks=200, rows=1)
    endless = SamplingParams(priority=1, max_tokens=10_000)
    low, high = new_group(3), new_group(3, number=1, params=endless, context=10_000)
    order = []
    for _ in range(2 * STARVATION_LIMIT + 4):
        [row] = run(schedule, [low, high]).rows.values()
        order.append(row.group.number)
        choose(row.group, [A])
        complete_step(row.group)
    assert [k for k, number in enumerate(order) if number == 0] == [STARVATION_LIMIT, 2 * STARVATION_LIMIT + 1]


def test_a_group_is_let_in_only_if_the_running_ones_keep_room_to_grow() -> None:
    schedule = scheduler(blocks=20, block_size=4)
    running, new = new_group(4, params=SamplingParams(max_tokens=40)), new_group(4, number=1)
    advance(schedule, running, A)
    schedule.growth.share = 1.0
    assert rows(run(schedule, [running, new])) == [(0, ROOT, 1)]
    schedule.growth.share = 0.1
    choose(running, [A])
    complete_step(running)
    assert [number for number, _, _ in rows(run(schedule, [running, new]))] == [0, 1]


def test_groups_that_are_in_go_on_behind_one_that_has_to_wait() -> None:
    schedule = scheduler(blocks=8, block_size=4)
    schedule.growth.share = 0.0
    first, large, late = new_group(4), new_group(24, number=1), new_group(4, number=2)
    run(schedule, [first, late])
    for group in (first, late):
        choose(group, [A])
        complete_step(group)
    assert rows(run(schedule, [first, large, late])) == [(0, ROOT, 1), (2, ROOT, 1)]


def test_what_finished_groups_grew_by_is_learnt() -> None:
    schedule = scheduler(blocks=50, block_size=1)
    group = new_group(4, params=SamplingParams(max_tokens=10, fork=False))
    for _ in range(5):
        advance(schedule, group, A)
    before = schedule.growth.share
    schedule.growth.learn(group, schedule.pool)
    # Four of at most eleven blocks: the last token was never fed.
    assert schedule.growth.share == pytest.approx(before + 0.1 * (4 / 11 - before))


def test_a_fork_in_the_middle_of_a_block_copies_that_block_and_feeds_one_token() -> None:
    schedule = scheduler(block_size=4)
    group = at_fork(schedule, 5)
    work = run(schedule, [group])
    root, child = group.threads
    assert rows(work) == [(0, ROOT, 1), (0, FIRST, 1)]
    assert child.blocks[0] == root.blocks[0]
    assert work.copies == [(root.blocks[1], child.blocks[1])]
    # [Fork] is token 6, written in this very pass: to the parent's block and to the child's copy.
    assert work.duplicate_writes == [DuplicateWrite(root, 6, child.blocks[1] * 4 + 2)]


def test_a_fork_that_opens_a_block_copies_nothing() -> None:
    schedule = scheduler(block_size=4)
    group = at_fork(schedule, 7)
    work = run(schedule, [group])
    root, child = group.threads
    assert child.blocks[:2] == root.blocks[:2]
    assert work.copies == []
    assert work.duplicate_writes == [DuplicateWrite(root, 8, child.blocks[2] * 4)]


def test_a_fork_that_fills_a_block_shares_it_and_copies_nothing() -> None:
    schedule = scheduler(block_size=4)
    group = at_fork(schedule, 6)
    work = run(schedule, [group])
    root, child = group.threads
    assert child.blocks[:2] == root.blocks
    assert (work.copies, work.duplicate_writes) == ([], [])
    assert group.blocks == 3


def test_a_child_that_runs_after_its_parent_copies_fork_with_the_block() -> None:
    schedule = scheduler(block_size=4, rows=1)
    group = at_fork(schedule, 5)
    assert rows(run(schedule, [group])) == [(0, ROOT, 1)]
    root, child = group.threads
    choose_root(group)
    work = run(schedule, [group])
    assert rows(work) == [(0, FIRST, 1)]
    assert work.copies == [(root.blocks[1], child.blocks[1])]
    assert work.duplicate_writes == []


def choose_root(group: Group) -> None:
    """Let the root alone have sampled."""
    child = group.threads.pop()
    choose(group, [A])
    group.threads.append(child)


def test_a_finished_thread_frees_its_own_blocks_at_once_and_no_others() -> None:
    schedule = scheduler(blocks=10, block_size=4)
    group = at_fork(schedule, 8)
    advance(schedule, group, A, A)
    assert schedule.pool.num_free == 10 - 4
    advance(schedule, group, A, 0)
    assert [thread.path for thread in group.threads] == [ROOT]
    assert (schedule.pool.num_free, group.blocks) == (10 - 3, 3)


def advance_all(schedule: Scheduler, groups: list[Group]) -> None:
    """Run a pass, and let every group that is complete say a word."""
    run(schedule, groups)
    for group in groups:
        choose(group, [A])
        complete_step(group)


def test_short_of_blocks_the_latest_group_gives_its_own_back() -> None:
    schedule = scheduler(blocks=8, block_size=1)
    groups = [new_group(length, number=number) for number, length in enumerate((2, 2, 1))]
    schedule.growth.share = 0.0
    advance_all(schedule, groups)
    advance_all(schedule, groups)
    assert [group.blocks for group in groups] == [3, 3, 2]
    assert rows(run(schedule, groups)) == [(0, ROOT, 1), (1, ROOT, 1)]
    assert [group.blocks for group in groups] == [4, 4, 0]
    assert schedule.preemptions == 1


def test_a_group_comes_back_when_there_is_room_and_is_fed_what_is_no_longer_kept() -> None:
    schedule = scheduler(blocks=5, block_size=1)
    first, second = new_group(2, number=0), new_group(1, number=1)
    schedule.growth.share = 0.0
    advance_all(schedule, [first, second])
    advance_all(schedule, [first, second])
    assert rows(run(schedule, [first, second])) == [(0, ROOT, 1)]
    schedule.release(first, first.threads[0])
    # Of its three tokens the first is still in its block; the last block went to the first group.
    assert rows(run(schedule, [second])) == [(1, ROOT, 2)]


def test_the_last_thread_of_the_only_group_waits_while_the_others_run() -> None:
    schedule = scheduler(blocks=3, block_size=4)
    group = at_fork(schedule, 6)
    run(schedule, [group])
    assert [len(thread.blocks) for thread in group.threads] == [2, 3]
    choose(group, [A, A])
    complete_step(group)
    # The root grows into a third block, which the child has to give back.
    assert rows(run(schedule, [group])) == [(0, ROOT, 1)]
    choose_root(group)
    # Now it is the root's turn to give; what both share is not fed again.
    assert rows(run(schedule, [group])) == [(0, FIRST, 2)]


def test_a_group_that_does_not_fit_beside_the_running_ones_waits_its_turn() -> None:
    schedule = scheduler(blocks=4, block_size=4)
    running, large, small = new_group(4, number=0), new_group(12, number=1), new_group(1, number=2)
    advance(schedule, running, A)
    assert rows(run(schedule, [running, large, small])) == [(0, ROOT, 1)]


def test_a_failed_pass_is_forgotten_and_fed_again() -> None:
    schedule = scheduler(blocks=10, block_size=4)
    group = at_fork(schedule, 5)
    schedule.abandon(schedule.plan([group]))
    assert (schedule.pool.num_free, group.blocks) == (10, 0)
    # Both start anew, and still share the block that their paths share.
    # The prompt's first block was stored before, and is found again.
    assert rows(run(schedule, [group])) == [(0, ROOT, 3), (0, FIRST, 1)]
    assert group.threads[0].blocks[0] == group.threads[1].blocks[0]


def test_a_group_alone_takes_the_blocks_of_all_others() -> None:
    schedule = scheduler(blocks=3, block_size=4)
    first, second = new_group(8, number=0), new_group(8, number=1)
    run(schedule, [first])
    assert rows(schedule.plan([second, first], alone=True)) == [(1, ROOT, 8)]
    assert first.blocks == 0


def test_a_refused_thread_is_fed_its_last_token_again() -> None:
    schedule = scheduler(block_size=4)
    group = new_group(6)
    run(schedule, [group])
    [root] = group.threads
    schedule.feed_again(group, root)
    assert rows(run(schedule, [group])) == [(0, ROOT, 1)]
    assert (root.stored, len(root.blocks)) == (6, 2)


def test_a_refused_thread_does_not_write_a_block_again_that_others_hold() -> None:
    schedule = scheduler(block_size=4)
    first, second = new_group(8), new_group(9)
    run(schedule, [first])
    run(schedule, [first, second])
    shared = first.threads[0].blocks
    assert second.threads[0].blocks[:2] == shared
    schedule.feed_again(first, first.threads[0])
    assert first.threads[0].blocks == []
    run(schedule, [first, second])
    # The full block before is found; the last one is its own.
    assert first.threads[0].blocks[0] == shared[0]
    assert first.threads[0].blocks[1] != shared[1]
