from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.backends.vllm.lives import CONFIGURATIONS, Lives, Tally, Wanted, make_wanted
from tests.backends.vllm.medusa import save_heads
from tests.backends.vllm.tiny import forking_model

NGRAM = {"method": "ngram", "num_speculative_tokens": 3, "prompt_lookup_max": 2, "prompt_lookup_min": 1}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("model")
    return folder, forking_model(folder, fork=14.0, eos=-2.0)


@pytest.fixture(scope="module")
def wanted(model: tuple[Path, Any]) -> list[Wanted]:
    return make_wanted(model[1], 40, seed=0)


@pytest.fixture
def lives(request: pytest.FixtureRequest, model: tuple[Path, Any], wanted: list[Wanted]) -> Iterator[Lives]:
    one = Lives(model[0], wanted, seed=0, **request.param)
    yield one
    one.close()


def _check(tally: Tally) -> None:
    assert tally.differences == 0
    assert tally.left_behind == []
    assert tally.answers > 50
    assert tally.forks > 40


@pytest.mark.parametrize("lives", [CONFIGURATIONS[0], {**CONFIGURATIONS[0], "asynchronous": True}], indirect=True)
def test_with_room_for_all_threads_no_fork_computes_anything_again(lives: Lives) -> None:
    tally = lives.run(100)
    _check(tally)
    assert tally.preemptions == 0
    assert tally.recomputed_tokens == 0


@pytest.mark.parametrize("lives", [CONFIGURATIONS[1], {**CONFIGURATIONS[1], "asynchronous": True}], indirect=True)
def test_answers_are_the_same_where_threads_are_preempted(lives: Lives) -> None:
    tally = lives.run(100)
    _check(tally)
    assert tally.preemptions > 20


@pytest.mark.parametrize("lives", CONFIGURATIONS[2:], indirect=True)
def test_answers_are_the_same_where_rows_are_short(lives: Lives) -> None:
    _check(lives.run(100))


def test_medusa_drafts_change_no_answer(model: tuple[Path, Any], wanted: list[Wanted], tmp_path: Path) -> None:
    heads = save_heads(model[1], tmp_path / "heads", count=2)
    drafts = {"method": "medusa", "model": str(heads), "num_speculative_tokens": 2}
    one = Lives(model[0], wanted, seed=0, speculative_config=drafts, **CONFIGURATIONS[3])
    try:
        _check(one.run(100))
        assert one.accepted > 50
    finally:
        one.close()


# The last one: with what it imports, numba, vLLM cannot be started again in the same process.
@pytest.mark.parametrize("lives", [{**CONFIGURATIONS[3], "speculative_config": NGRAM}], indirect=True)
def test_drafts_from_the_prompt_change_no_answer(lives: Lives) -> None:
    _check(lives.run(100))
    assert lives.accepted > 50
