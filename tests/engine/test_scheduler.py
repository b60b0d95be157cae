"""Which threads run, in which blocks, and what is given up when blocks are short."""

from __future__ import annotations

from apar.engine.blocks import BlockPool
from apar.engine.lockstep import complete_step
from apar.engine.scheduler import Mirror, Pass, Scheduler
from apar.engine.sequence import Group
from apar.tree import Path
from tests.engine.states import FORK, choose, new_group

ROOT, FIRST = (0,), (0, 0)
A = 3


def scheduler(blocks: int = 100, block_size: int = 4, rows: int = 64, tokens: int = 1000) -> Scheduler:
    return Scheduler(BlockPool(blocks, block_size), rows, tokens)


def rows(work: Pass) -> list[tuple[int, Path, int]]:
    """Each row's group, thread, and how many tokens it is fed."""
    return [(row.group.number, row.thread.path, row.length) for row in work.rows.values()]


def run(schedule: Scheduler, groups: list[Group]) -> Pass:
    """Plan and commit one pass; nothing is sampled yet."""
    work = schedule.plan(groups)
    schedule.commit(work)
    schedule.pool.check([thread.blocks for group in groups for thread in group.threads])
    return work


def advance(schedule: Scheduler, group: Group, *tokens: int) -> None:
    """Run a pass of one group, and complete its step with `tokens`."""
    run(schedule, [group])
    choose(group, tokens)
    for thread in complete_step(group):
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


def test_a_pass_has_a_limit_of_tokens_that_one_thread_alone_may_exceed() -> None:
    schedule = scheduler(tokens=8)
    groups = [new_group(length, number=number) for number, length in enumerate((20, 5, 3, 1))]
    for expected in ([(0, ROOT, 20)], [(1, ROOT, 5), (2, ROOT, 3)], [(3, ROOT, 1)]):
        work = run(schedule, groups)
        assert rows(work) == expected
        for group in work.groups():
            choose(group, [A])


def test_a_fork_in_the_middle_of_a_block_copies_that_block_and_feeds_one_token() -> None:
    schedule = scheduler(block_size=4)
    group = at_fork(schedule, 5)
    work = run(schedule, [group])
    root, child = group.threads
    assert rows(work) == [(0, ROOT, 1), (0, FIRST, 1)]
    assert child.blocks[0] == root.blocks[0]
    assert work.copies == [(root.blocks[1], child.blocks[1])]
    # [Fork] is token 6, written in this very pass: to the parent's block and to the child's copy.
    assert work.mirrors == [Mirror(root, 6, child.blocks[1] * 4 + 2)]


def test_a_fork_that_opens_a_block_copies_nothing() -> None:
    schedule = scheduler(block_size=4)
    group = at_fork(schedule, 7)
    work = run(schedule, [group])
    root, child = group.threads
    assert child.blocks[:2] == root.blocks[:2]
    assert work.copies == []
    assert work.mirrors == [Mirror(root, 8, child.blocks[2] * 4)]


def test_a_fork_that_fills_a_block_shares_it_and_copies_nothing() -> None:
    schedule = scheduler(block_size=4)
    group = at_fork(schedule, 6)
    work = run(schedule, [group])
    root, child = group.threads
    assert child.blocks[:2] == root.blocks
    assert (work.copies, work.mirrors) == ([], [])
    assert group.blocks == 3


def test_a_child_that_runs_after_its_parent_copies_fork_with_the_block() -> None:
    schedule = scheduler(block_size=4, rows=1)
    group = at_fork(schedule, 5)
    assert rows(run(schedule, [group])) == [(0, ROOT, 1)]
    root, child = group.threads
    root.choice = child.choice
    choose_root(group)
    work = run(schedule, [group])
    assert rows(work) == [(0, FIRST, 1)]
    assert work.copies == [(root.blocks[1], child.blocks[1])]
    assert work.mirrors == []


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
    advance_all(schedule, groups)
    advance_all(schedule, groups)
    assert [group.blocks for group in groups] == [3, 3, 2]
    assert rows(run(schedule, groups)) == [(0, ROOT, 1), (1, ROOT, 1)]
    assert [group.blocks for group in groups] == [4, 4, 0]
    assert schedule.preemptions == 1


def test_a_group_comes_back_when_there_is_room_and_is_fed_its_whole_path() -> None:
    schedule = scheduler(blocks=5, block_size=1)
    first, second = new_group(2, number=0), new_group(1, number=1)
    advance_all(schedule, [first, second])
    advance_all(schedule, [first, second])
    assert rows(run(schedule, [first, second])) == [(0, ROOT, 1)]
    schedule.release(first, first.threads[0])
    assert rows(run(schedule, [second])) == [(1, ROOT, 3)]


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
    assert rows(run(schedule, [group])) == [(0, ROOT, 7), (0, FIRST, 1)]
    assert group.threads[0].blocks[0] == group.threads[1].blocks[0]


def test_a_group_alone_takes_the_blocks_of_all_others() -> None:
    schedule = scheduler(blocks=3, block_size=4)
    first, second = new_group(8, number=0), new_group(8, number=1)
    run(schedule, [first])
    assert rows(schedule.plan([second, first], alone=True)) == [(1, ROOT, 8)]
    assert first.blocks == 0
