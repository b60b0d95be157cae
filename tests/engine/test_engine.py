"""Requests in the engine: admitted, cancelled, failing, and answered alike whatever the load."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

from apar.decoding.group import Group
from apar.decoding.params import SamplingParams
from apar.engine.engine import Engine
from apar.errors import ModelError, RequestError, RunError
from apar.events import Delta, Forked
from apar.scheduling.blocks import BlockPool
from apar.tokens import ControlTokens
from tests.engine.tiny import favour, random_prompt, tiny_model, tiny_tokenizer

CONTROL = ControlTokens.of(tiny_tokenizer())
POISON = 7


def tiny_engine(
    blocks: int = 200, block_size: int = 4, rows: int = 64, native: bool = True, graphs: bool = True
) -> Engine:
    """An engine whose answers fork often."""
    model = tiny_model(3)
    favour(model, CONTROL, fork=6.0, eos=2.0)
    pool = BlockPool(blocks, block_size)
    return Engine(model, lambda ids: "x" * len(ids), CONTROL.eos, CONTROL, pool, rows, native, graphs)


def finish(engine: Engine) -> None:
    while engine.groups:
        engine.step()
        engine.check()


def poison(engine: Engine, value: float | Exception) -> None:
    """Make every forward pass that is fed the token POISON fail, or give logits that are no numbers.

    The engine must be one without graphs, which would not run this again.
    """
    forward = engine._runner._model.forward

    def poisoned(*args: Any, **inputs: Any) -> Any:
        spoilt = (inputs["input_ids"][0] == POISON).nonzero()
        if len(spoilt) and isinstance(value, Exception):
            raise value
        output = forward(*args, **inputs)
        if len(spoilt):
            ends = inputs["logits_to_keep"]
            output.logits[0, (ends >= spoilt[0]).nonzero()[0]] = value
        return output

    engine._runner._model.forward = poisoned


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_an_answer_is_the_same_alone_and_in_a_crowd(temperature: float) -> None:
    rng = random.Random(5)
    prompts = [random_prompt(rng, 20) for _ in range(6)]
    params = SamplingParams(max_tokens=50, temperature=temperature, seed=1)
    alone = []
    for prompt in prompts:
        engine = tiny_engine()
        alone.append(engine.add(prompt, params))
        finish(engine)
    assert any(isinstance(event, Forked) for group in alone for event in group.events)
    for crowded in (tiny_engine(), tiny_engine(rows=3), tiny_engine(blocks=24), tiny_engine(block_size=16)):
        groups = [crowded.add(prompt, params) for prompt in prompts]
        finish(crowded)
        assert [group.events for group in groups] == [group.events for group in alone]


def test_a_group_may_join_while_others_are_decoded() -> None:
    engine = tiny_engine()
    params = SamplingParams(max_tokens=30)
    first = engine.add([5, 6], params)
    for _ in range(4):
        engine.step()
    late = engine.add([5, 6], params)
    finish(engine)
    assert late.events == first.events


def test_short_of_rows_a_logical_step_takes_several_passes() -> None:
    wide, narrow = tiny_engine(), tiny_engine(rows=1)
    groups = [engine.add([5, 9], SamplingParams(max_tokens=40)) for engine in (wide, narrow)]
    finish(wide)
    finish(narrow)
    assert groups[0].created > 1
    assert groups[0].passes == groups[0].step == groups[1].step
    assert groups[1].passes > groups[1].step


def test_cancelling_frees_the_blocks_of_all_threads_and_tells_nothing_more() -> None:
    engine = tiny_engine()
    kept, dropped = (engine.add([5, 9], SamplingParams(max_tokens=40)) for _ in range(2))
    while len(dropped.threads) < 2:
        engine.step()
    told = len(dropped.events)
    engine.cancel(dropped)
    engine.check()
    finish(engine)
    assert len(dropped.events) == told
    assert kept.events[:told] == dropped.events
    assert engine.pool.num_free == engine.pool.num_blocks
    engine.cancel(kept)


@pytest.mark.parametrize("value", [float("nan"), ValueError("out of luck")])
def test_a_request_that_fails_fails_alone_by_name(value: float | Exception) -> None:
    params = SamplingParams(max_tokens=20, seed=0)
    healthy = tiny_engine()
    expected = [healthy.add([5, 9], params), healthy.add([8, 4, 3], params)]
    finish(healthy)
    engine = tiny_engine(graphs=False)
    poison(engine, value)
    groups: list[Group] = [engine.add(prompt, params) for prompt in ([5, 9], [4, POISON, 4], [8, 4, 3])]
    finish(engine)
    assert isinstance(groups[1].error, RunError)
    assert "request 1 failed" in str(groups[1].error)
    assert ("out of luck" in str(groups[1].error)) is isinstance(value, Exception)
    assert [groups[0].events, groups[2].events] == [group.events for group in expected]
    assert engine.pool.num_free == engine.pool.num_blocks


@pytest.mark.parametrize("native", [True, False])
def test_what_is_not_a_number_in_the_cache_spreads_to_no_later_request(native: bool) -> None:
    params = SamplingParams(max_tokens=20, seed=0)
    healthy = tiny_engine(blocks=12, native=native)
    expected = healthy.add([5, 9], params)
    finish(healthy)
    engine = tiny_engine(blocks=12, native=native)
    engine.scheduler.max_tokens = 5
    engine._runner._model.model.embed_tokens.weight[POISON] = float("nan")
    for _ in range(2):
        spoilt = engine.add([4] * 10 + [POISON] * 20, params)
        finish(engine)
        assert "not numbers" in str(spoilt.error)
    # Its first chunks were stored, and none of them can be found again.
    assert len(engine.pool.prefixes) == 0
    group = engine.add([5, 9], params)
    finish(engine)
    assert group.events == expected.events


@pytest.mark.parametrize("native", [True, False])
def test_what_a_cancelled_prompt_left_in_a_block_spreads_to_no_later_request(native: bool) -> None:
    params = SamplingParams(max_tokens=20, seed=0)
    healthy = tiny_engine(blocks=12, native=native)
    expected = healthy.add([9], params)
    finish(healthy)
    engine = tiny_engine(blocks=12, native=native)
    engine.scheduler.max_tokens = 7
    engine._runner._model.model.embed_tokens.weight[POISON] = float("nan")
    spoilt = engine.add([4] + [POISON] * 20, params)
    engine.step()
    engine.cancel(spoilt)
    group = engine.add([9], params)
    finish(engine)
    assert group.error is None
    assert group.events == expected.events


def test_the_next_turn_of_a_chat_computes_only_what_is_new_and_answers_alike() -> None:
    params = SamplingParams(max_tokens=12, fork=False)
    engine, fresh = tiny_engine(), tiny_engine()
    first = engine.add([5, 9, 4, 8, 3], params)
    finish(engine)
    said = [token for event in first.events if isinstance(event, Delta) for token in event.token_ids]
    prompt = [5, 9, 4, 8, 3, *said, 6, 6]
    again, alone = engine.add(prompt, params), fresh.add(prompt, params)
    finish(engine)
    finish(fresh)
    # All full blocks but those of the new turn and of the last token, which was never fed.
    assert again.cached_tokens == (5 + len(said) - 1) // 4 * 4
    assert alone.cached_tokens == 0
    assert again.events == alone.events


def test_a_long_prompt_does_not_stall_the_answers_under_way() -> None:
    engine = tiny_engine()
    engine.scheduler.max_tokens = 8
    running = engine.add([5, 9], SamplingParams(max_tokens=60, fork=False))
    engine.step()
    long = engine.add([4] * 100, SamplingParams(max_tokens=2))
    steps = []
    while not long.events:
        engine.step()
        steps.append(running.step)
    assert steps == list(range(2, len(steps) + 2))
    assert len(steps) == -(-100 // 7)


def test_what_the_model_cannot_do_is_said_as_it_is() -> None:
    engine = tiny_engine(graphs=False)
    poison(engine, ModelError("no such attention"))
    group = engine.add([POISON], SamplingParams())
    finish(engine)
    assert isinstance(group.error, ModelError)


def test_text_that_cannot_be_decoded_fails_only_its_request() -> None:
    engine = tiny_engine()

    def decode(ids: list[int]) -> str:
        if POISON in ids:
            raise OverflowError("no such token")
        return "x" * len(ids)

    engine._decode = decode
    groups = [engine.add([5, 9 + k], SamplingParams(max_tokens=30, temperature=2.0, seed=k)) for k in range(8)]
    finish(engine)
    failed = [str(group.error) for group in groups if group.error]
    assert 0 < len(failed) < len(groups)
    assert all("OverflowError: no such token" in error for error in failed)
    assert engine.pool.num_free == engine.pool.num_blocks


@pytest.mark.parametrize(("blocks", "context"), [(200, 128), (5, 20)])
def test_the_context_is_bounded_by_the_model_and_by_the_cache(blocks: int, context: int) -> None:
    engine = tiny_engine(blocks)
    assert engine.context == context
    with pytest.raises(RequestError, match=f"has {context} tokens.*context of {context} tokens"):
        engine.add([5] * context, SamplingParams())
    group = engine.add([5] * (context - 1), SamplingParams(seed=0))
    finish(engine)
    assert group.budget == group.params.max_tokens - 1


def test_a_prompt_without_tokens_is_refused() -> None:
    with pytest.raises(RequestError, match="no tokens"):
        tiny_engine().add([], SamplingParams())


def test_without_a_seed_each_request_draws_its_own() -> None:
    engine = tiny_engine()
    seeds = {engine.add([5], SamplingParams(temperature=1.0)).seed for _ in range(20)}
    assert len(seeds) == 20


def test_a_block_that_is_lost_is_found_by_the_check() -> None:
    engine = tiny_engine()
    group = engine.add([5, 9, 4], SamplingParams())
    engine.step()
    group.threads[0].blocks.clear()
    with pytest.raises(RunError):
        engine.check()


def test_stepping_an_idle_engine_does_nothing() -> None:
    engine = tiny_engine()
    engine.step()
    assert torch.equal(engine._runner.cache.keys[0], torch.zeros_like(engine._runner.cache.keys[0]))
