"""The same answer, one thread at a time: what forked decoding is held against."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from apar.decoding.group import Group, Sampled
from apar.decoding.lockstep import complete_step
from apar.decoding.params import SamplingParams
from apar.engine.engine import Engine
from apar.errors import RequestError
from apar.events import Delta, Finished, Forked
from apar.scheduling.blocks import BlockPool
from apar.scheduling.scheduler import Pass, Scheduler
from tests.engine.states import FORK, choose, new_group
from tests.engine.test_engine import tiny_engine
from tests.engine.tiny import random_prompt

LONG = SamplingParams(max_tokens=60, seed=1)
CASES = {
    "greedy": LONG,
    "sampled": replace(LONG, temperature=1.0, top_p=0.9),
    "with penalties and log probabilities": replace(LONG, temperature=0.7, presence_penalty=0.5, logprobs=3),
    "cut by its budget": replace(LONG, max_tokens=17),
    "cut by its budget, sampled": replace(LONG, max_tokens=9, temperature=1.5),
    "stopped": replace(LONG, stop=("xxxxxxxxx",)),
    "with few threads": replace(LONG, max_threads=3, max_depth=2),
}


def answered(engine: Engine, params: SamplingParams, prompts: int = 4) -> tuple[list[Group], list[Counter[int]]]:
    """The answers to some prompts, and in how many rows of each pass every group was."""
    rng = random.Random(5)
    groups = [engine.add(random_prompt(rng, 20), params) for _ in range(prompts)]
    rows: list[Counter[int]] = []
    plan = engine._plan

    def noting() -> Pass:
        work = plan()
        rows.append(Counter(row.group.number for row in work.rows.values()))
        return work

    engine._plan = noting  # type: ignore[method-assign]
    while engine.groups:
        engine.step()
        engine.check()
    assert engine.pool.num_free == engine.pool.num_blocks
    return groups, rows


@pytest.mark.parametrize("params", CASES.values(), ids=CASES)
@pytest.mark.parametrize("limit", [1, 2])
def test_the_answer_is_the_same_with_few_threads_at_a_time(params: SamplingParams, limit: int) -> None:
    parallel, _ = answered(tiny_engine(), params)
    for engine in (tiny_engine(), tiny_engine(blocks=24), tiny_engine(rows=2), tiny_engine(block_size=16)):
        limited, rows = answered(engine, replace(params, max_parallel_threads=limit))
        assert max(max(row.values()) for row in rows) == limit
        assert [group.events for group in limited] == [group.events for group in parallel]
        assert [group.assembler.text for group in limited] == [group.assembler.text for group in parallel]
    assert sum(isinstance(event, Forked) for group in parallel for event in group.events) > 4


def test_one_thread_at_a_time_costs_a_pass_for_every_token_and_nothing_more() -> None:
    """Nothing is refused here, and nothing cut: every pass gives a token that counts."""
    params = replace(LONG, max_tokens=400, max_threads=200, temperature=1.0)
    sequential, _ = answered(tiny_engine(), replace(params, max_parallel_threads=1), prompts=12)
    parallel, _ = answered(tiny_engine(), params, prompts=12)
    complete = [number for number, group in enumerate(parallel) if group.finish_reason == "stop"]
    assert sum(parallel[number].created > 1 for number in complete) > 2
    for number in complete:
        one, all_at_once = sequential[number], parallel[number]
        kinds = Counter(type(event) for event in one.events)
        assert one.passes == kinds[Delta] + kinds[Forked] + kinds[Finished]
        assert all_at_once.passes == all_at_once.step == one.step


def test_a_waiting_child_holds_nothing_and_takes_over_all_but_its_child_token() -> None:
    schedule = Scheduler(BlockPool(100, 4), 64, 1000)
    group = new_group(5, params=SamplingParams(max_tokens=50, max_parallel_threads=1))

    def step() -> list[tuple[tuple[int, ...], int]]:
        work = schedule.plan([group])
        schedule.commit(work, [group])
        schedule.pool.check([thread.blocks for thread in group.threads])
        return [(row.thread.path, row.length) for row in work.rows.values()]

    for token in (3, FORK):
        step()
        choose(group, [token])
        complete_step(group)
    root, child = group.threads
    assert step() == [((0,), 1)]
    assert child.blocks == []
    root.ahead.append(Sampled(3))
    assert not group.ready
    assert step() == [((0, 0), 1)]
    assert child.blocks[:1] == root.blocks[:1]


def test_an_answer_one_thread_at_a_time_leaves_the_other_rows_to_others() -> None:
    engine = tiny_engine()
    rng = random.Random(5)
    prompts = [random_prompt(rng, 20) for _ in range(3)]
    for prompt in prompts:
        engine.add(prompt, replace(LONG, max_parallel_threads=1))
    others = [engine.add(prompt, LONG) for prompt in prompts]
    most = 0
    while engine.groups:
        engine.step()
        most = max(most, engine.statistics().rows)
    assert most > len(prompts) + len(others)


@pytest.mark.parametrize("limit", [0, -1, True, 1.5])
def test_a_limit_that_is_no_whole_number_above_zero_is_refused(limit: Any) -> None:
    with pytest.raises(RequestError, match="max_parallel_threads"):
        SamplingParams(max_parallel_threads=limit)
