"""Answers that fork by their form, through the engine: as those of a slow engine without a cache."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from apar.decoding.params import SamplingParams
from apar.engine.blocks import BlockPool
from apar.engine.llm import LLM
from apar.engine.scheduler import Scheduler
from apar.errors import RequestError
from tests.engine.rules_lives import compare
from tests.engine.states import new_group
from tests.tiny import tiny_model

CASES = 40


def test_the_engine_equals_the_slow_one_event_for_event_and_loses_no_block() -> None:
    counts: Counter[str] = Counter()
    found = [compare(number, counts) for number in range(CASES)]
    assert [difference for difference in found if difference] == []
    assert counts["blocks lost"] == counts["empty details"] == 0
    assert counts["forks"] > 0


def test_a_path_that_is_another_one_is_computed_from_there_on() -> None:
    pool = BlockPool(8, 4)
    scheduler, group = Scheduler(pool, 8, 100), new_group(prompt=10)
    [root] = group.threads
    scheduler.commit(scheduler.plan([group]), [group])
    held = list(root.blocks)
    assert (root.stored, len(root.prefix_nodes)) == (10, 2)
    scheduler.take_back(group, root, 6)
    assert (root.stored, root.blocks, len(root.prefix_nodes)) == (6, held[:2], 1)
    # What was in the block that is written again is found by nobody.
    assert pool.prefixes.find([*root.tokens])[0] == held[:1]
    scheduler.take_back(group, root, 7)
    assert root.stored == 6
    pool.check([root.blocks])


def test_a_block_that_others_hold_is_not_written_again() -> None:
    pool = BlockPool(8, 4)
    scheduler, group = Scheduler(pool, 8, 100), new_group(prompt=10)
    [root] = group.threads
    scheduler.commit(scheduler.plan([group]), [group])
    held = list(root.blocks)
    pool.share(held[:2])
    scheduler.take_back(group, root, 6)
    assert (root.stored, root.blocks) == (4, held[:1])
    assert pool.prefixes.find([*root.tokens])[0] == held[:2]
    pool.check([root.blocks, held[:2]])


def test_any_model_can_be_asked(tmp_path: Path) -> None:
    llm = LLM(tiny_model(tmp_path / "plain", control=False), num_blocks=64)
    params = SamplingParams(max_tokens=20, fork_by="rules")
    [answer] = llm.generate(["Give me two tips."], params)
    assert answer.tokens > 0
    assert answer.text
    [same] = llm.generate(["Give me two tips."], SamplingParams(max_tokens=20, fork_by="auto"))
    assert same.forks == 0


def test_forced_tokens_have_no_log_probabilities() -> None:
    with pytest.raises(RequestError, match="leave out logprobs"):
        SamplingParams(fork_by="rules", logprobs=1)
    with pytest.raises(RequestError, match="fork_by is 'form'"):
        SamplingParams(fork_by="form")  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="max_items"):
        SamplingParams(fork_by="rules", max_items=0)
