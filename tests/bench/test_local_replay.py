"""Answers told through a real engine of a tiny model, one at a time and together."""

from __future__ import annotations

from pathlib import Path

import pytest

from apar.bench.answers import BenchAnswer
from apar.bench.latency import replay_latency
from apar.bench.local_replay import LocalReplay
from apar.bench.model import load_bench_model
from apar.bench.throughput import latency_under_load, replay_throughput, throughput_figures
from apar.errors import UserError
from apar.tree import Node, ParagraphTree
from tests.tiny import tiny_model

ASKED = ({"role": "user", "content": "How?"},)
LIST = ParagraphTree(
    Node("1. Bed:", Node(" go early, the body likes it."), Node("\n2. Book:", Node(" read it."), Node("\nDone.")))
)


def answers() -> list[BenchAnswer]:
    return [BenchAnswer("list", "lists", ASKED, LIST), BenchAnswer("plain", "prose", ASKED, ParagraphTree.leaf("Yes."))]


@pytest.fixture(scope="module", params=[True, False], ids=["trained to fork", "without control tokens"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("bench"), control=request.param)


def replay_of(folder: Path, blocks: int | None = None, given: list[BenchAnswer] | None = None) -> LocalReplay:
    return LocalReplay(load_bench_model(str(folder), None, "auto", "cpu"), given or answers(), blocks, 64)


def test_passes_are_those_that_the_tree_says(folder: Path) -> None:
    replay = replay_of(folder)
    list_answer, plain = replay.answers
    # The pass that reads the prompt samples the first token, and is not counted.
    assert replay.run_one(list_answer, "sequential").passes == list_answer.stats.sequential_steps - 1
    assert replay.run_one(list_answer, "forked").passes == list_answer.stats.critical_path - 1
    assert replay.run_one(plain, "forked").passes == plain.stats.sequential_steps - 1
    assert list_answer.stats.forks == 2
    replay.engine.check()


def test_no_run_finds_what_another_left_in_the_cache(folder: Path) -> None:
    replay = replay_of(folder)
    for mode in ("sequential", "forked"):
        replay.run_one(replay.answers[0], mode)
        group = replay._add(replay.answers[0], mode)
        replay._forget()
        while not group.done:
            replay.engine.step()
        assert group.cached_tokens == 0


def test_both_ways_are_measured_for_every_answer(folder: Path) -> None:
    told: list[int] = []
    found = replay_latency(replay_of(folder), 2, lambda: told.append(1))
    assert [(one.id, one.category, one.threads) for one in found] == [("list", "lists", 3), ("plain", "prose", 1)]
    assert found[0].sequential.passes > found[0].forked.passes
    assert found[0].sequential.seconds > 0
    assert found[0].attended_sequential > found[0].attended_forked
    assert len(told) == 4


def test_a_load_decodes_every_answer_and_keeps_to_the_concurrency(folder: Path) -> None:
    replay = replay_of(folder, given=answers() * 3)
    together, alone = replay.run_all("forked", None), replay.run_all("forked", 1)
    assert together.passes < alone.passes
    assert alone.passes == sum(answer.stats.critical_path for answer in replay.answers)
    assert together.tokens == alone.tokens == 3 * sum(answer.stats.tokens for answer in replay.answers[:2])
    assert together.kv_blocks_peak > alone.kv_blocks_peak
    assert len(together.latencies) == 6


def test_a_small_cache_preempts_and_answers_all_the_same(folder: Path) -> None:
    replay = replay_of(folder, blocks=9, given=answers() * 3)
    assert replay.left_out == 0
    load = replay.run_all("sequential", None)
    assert load.kv_blocks_peak <= 9


def test_throughput_is_reported_for_both_modes_and_every_category(folder: Path) -> None:
    replay = replay_of(folder)
    loads = replay_throughput(replay, 2, {"sequential": 2, "forked": 2}, lambda: None)
    figures = throughput_figures(replay, loads)
    assert figures.step_ratio.value == replay.answers[0].stats.sequential_steps / replay.answers[0].stats.critical_path
    assert figures.answers == 2
    assert figures.sequential.rate == pytest.approx(figures.tokens / figures.sequential.seconds, rel=0.5)
    assert list(latency_under_load(replay, loads)) == ["lists", "prose", "all"]


def test_each_mode_keeps_to_its_own_concurrency(folder: Path) -> None:
    replay = replay_of(folder)
    loads = replay_throughput(replay, 1, {"sequential": 2, "forked": 1}, lambda: None)
    longest = max(answer.stats.sequential_steps for answer in replay.answers)
    assert loads["sequential"][0].passes == longest
    assert loads["forked"][0].passes == sum(answer.stats.critical_path for answer in replay.answers)


def test_answers_longer_than_the_context_are_left_out_and_counted(folder: Path) -> None:
    long = BenchAnswer("long", "prose", ASKED, ParagraphTree.leaf("word " * 400))
    replay = replay_of(folder, given=[*answers(), long])
    assert [answer.id for answer in replay.answers] == ["list", "plain"]
    assert replay.left_out == 1
    with pytest.raises(UserError, match="no answer fits into the context"):
        replay_of(folder, given=[long])
