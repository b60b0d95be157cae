"""The figures of an engine: they add up, and its counts never go down."""

from __future__ import annotations

import json
from dataclasses import fields
from itertools import pairwise

from apar.decoding.answer import Answer, summed
from apar.decoding.params import SamplingParams
from apar.decoding.statistics import EngineStatistics
from apar.engine.engine import Engine
from apar.errors import RunError
from apar.events import Delta, Forked
from tests.engine.drafts.known import guess_everything
from tests.engine.test_engine import tiny_engine

COUNTS = ["passes", "preemptions", "prompt_tokens", "cached_tokens", "visible_tokens", "forks", "failed", "cancelled"]


def finish(engine: Engine) -> list[EngineStatistics]:
    """The figures after every pass."""
    seen = []
    while engine.groups:
        engine.step()
        seen.append(engine.statistics())
    return seen


def test_a_new_engine_has_done_nothing() -> None:
    statistics = tiny_engine(blocks=30).statistics()
    assert (statistics.blocks, statistics.blocks_free, statistics.blocks_held) == (30, 30, 0)
    assert statistics.finished == {"stop": 0, "length": 0}
    zero = {field.name for field in fields(statistics)} - {"blocks", "blocks_free", "finished"}
    assert not any(getattr(statistics, name) for name in zero)


def test_figures_add_up_over_many_answers() -> None:
    engine = tiny_engine(blocks=24)
    groups = [engine.add([5, k], SamplingParams(max_tokens=30)) for k in range(1, 9)]
    waiting = engine.statistics()
    assert (waiting.waiting, waiting.running, waiting.requests) == (8, 0, 8)
    seen = finish(engine)
    end = seen[-1]
    events = [event for group in groups for event in group.events]
    assert end.visible_tokens == sum(len(event.token_ids) for event in events if isinstance(event, Delta))
    assert end.forks == sum(isinstance(event, Forked) for event in events) > 0
    assert end.preemptions == sum(group.preemptions for group in groups) > 0
    assert end.prompt_tokens == 16
    assert end.passes == len(seen)
    assert sum(end.finished.values()) == end.requests == 8
    assert end.finished["length"] == sum(group.finish_reason == "length" for group in groups) > 0
    assert (end.waiting, end.running, end.threads, end.blocks_held) == (0, 0, 0, 0)


def test_counts_never_go_down_and_requests_are_never_lost() -> None:
    engine = tiny_engine(blocks=24)
    for k in range(1, 9):
        engine.add([5, k], SamplingParams(max_tokens=30))
    seen = finish(engine)
    for before, after in pairwise(seen):
        assert all(getattr(before, name) <= getattr(after, name) for name in COUNTS)
        assert all(before.finished[reason] <= after.finished[reason] for reason in before.finished)
    assert {statistics.requests for statistics in seen} == {8}
    assert all(0 <= statistics.blocks_cached <= statistics.blocks_free for statistics in seen)
    assert max(statistics.running for statistics in seen) > 1
    assert max(statistics.threads for statistics in seen) >= max(statistics.rows for statistics in seen) > 2


def test_the_last_pass_is_told_by_its_rows_and_tokens() -> None:
    engine = tiny_engine()
    engine.add([5, 6, 7], SamplingParams())
    engine.add([8, 9], SamplingParams())
    engine.step()
    statistics = engine.statistics()
    assert (statistics.rows, statistics.fed_tokens, statistics.running) == (2, 5, 2)


def test_what_was_found_in_the_cache_is_counted_for_the_request_and_in_all() -> None:
    engine = tiny_engine()
    prompt = [5, 6, 7, 8, 9]
    first = engine.add(prompt, SamplingParams(max_tokens=2))
    finish(engine)
    assert engine.statistics().blocks_cached > 0
    second = engine.add(prompt, SamplingParams(max_tokens=2))
    finish(engine)
    assert (first.cached_tokens, second.cached_tokens) == (0, 4)
    assert (engine.statistics().prompt_tokens, engine.statistics().cached_tokens) == (10, 4)


def test_failed_and_cancelled_requests_are_counted_apart() -> None:
    engine = tiny_engine()
    groups = [engine.add([5, k], SamplingParams(max_tokens=30)) for k in range(1, 5)]
    engine.cancel(groups[0])
    engine.cancel(groups[0])
    engine.cancel(groups[1], RunError("out of luck"))
    finish(engine)
    statistics = engine.statistics()
    assert (statistics.cancelled, statistics.failed, sum(statistics.finished.values())) == (1, 1, 2)


def test_figures_are_plain_data_on_demand() -> None:
    data = json.loads(json.dumps(tiny_engine(blocks=30).statistics().to_dict()))
    assert (data["blocks"], data["blocks_held"], data["requests"]) == (30, 0, 0)
    assert data["finished"] == {"stop": 0, "length": 0}


def test_draft_tokens_are_counted_by_their_place() -> None:
    engine = guess_everything(tiny_engine())
    groups = [engine.add([5, k], SamplingParams(max_tokens=30)) for k in range(1, 4)]
    finish(engine)
    statistics = engine.statistics()
    answers = [Answer.of(group) for group in groups]
    assert statistics.drafted_by_depth == summed(answer.drafted for answer in answers)
    assert statistics.accepted_by_depth == summed(answer.accepted for answer in answers)
    assert statistics.drafted == sum(statistics.drafted_by_depth) > statistics.accepted > 0
    assert len(statistics.drafted_by_depth) == 1
    assert statistics.to_dict()["accepted"] == statistics.accepted
