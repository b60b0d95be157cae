"""Answers that fork by their form, through the engine: as those of a slow engine without a cache."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from apar.decoding.group import Group, Sampled, Thread
from apar.decoding.params import SamplingParams
from apar.engine.llm import LLM
from apar.errors import RequestError
from apar.events import Delta, TokenLogprob
from apar.scheduling.blocks import BlockPool
from apar.scheduling.scheduler import Scheduler
from tests.engine.rules_lives import Case, SlowEngine, compare, run_engine
from tests.engine.states import new_group
from tests.tiny import tiny_model

CASES = 40


def test_the_engine_equals_the_slow_one_event_for_event_and_loses_no_block() -> None:
    counts: Counter[str] = Counter()
    found = [compare(number, counts) for number in range(CASES)]
    assert [difference for difference in found if difference] == []
    assert counts["blocks lost"] == counts["empty details"] == counts["bare items"] == 0
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


@pytest.mark.parametrize("number", [0, 2, 5, 10, 11, 12, 24, 39])
def test_log_probabilities_are_those_of_the_slow_engine_and_change_no_answer(number: int) -> None:
    case = Case(number)
    plain = run_engine(case, case.engine())
    case.params = [replace(params, logprobs=2) for params in case.params]
    for index, group in enumerate(run_engine(case, case.engine())):
        if group.assembler.text != plain[index].assembler.text:
            continue  # a tie of two tokens
        asked = case.prompts[index], case.params[index], case.questions[index]
        slow = SlowLogprobs(case.model, group.context, *asked).run()
        mine, theirs = told(group), told(slow)
        assert [each.token_id for each in mine] == [each.token_id for each in theirs]
        assert [each.logprob for each in mine] == pytest.approx([each.logprob for each in theirs], abs=1e-3)
        assert all(len(each.top) == 2 or each == TokenLogprob(each.token_id, 0.0) for each in mine)
        deltas = [event for event in group.events if isinstance(event, Delta)]
        assert all([each.token_id for each in delta.logprobs] == list(delta.token_ids) for delta in deltas)
        assert [(delta.thread, delta.text) for delta in deltas] == [
            (event.thread, event.text) for event in plain[index].events if isinstance(event, Delta)
        ]


class SlowLogprobs(SlowEngine):
    """With the log probability of each token among those that may come."""

    def _sampled(self, thread: Thread, noise: random.Random | None) -> Sampled:
        sampled = super()._sampled(thread, noise)
        with torch.no_grad():
            logits = self.model(input_ids=torch.tensor([thread.tokens]), use_cache=False).logits[0, -1]
        logits[list((sampled.banned or frozenset()) | thread.refused)] = -torch.inf
        logprob = torch.log_softmax(logits, -1)[sampled.token].item()
        return replace(sampled, logprob=TokenLogprob(sampled.token, logprob))


def told(group: Group) -> list[TokenLogprob]:
    return [each for event in group.events if isinstance(event, Delta) for each in event.logprobs]


def test_what_rules_are_asked_for_has_to_fit() -> None:
    with pytest.raises(RequestError, match="fork_by is 'form'"):
        SamplingParams(fork_by="form")  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="max_items"):
        SamplingParams(fork_by="rules", max_items=0)
