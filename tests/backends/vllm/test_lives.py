from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from vllm.v1.request import RequestStatus

from apar.models.head_files import save_heads
from apar.models.heads import MedusaHeads
from tests.backends.vllm.lives import CONFIGURATIONS, Lives, Tally, Wanted, make_wanted
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


@pytest.mark.parametrize("lives", [CONFIGURATIONS[0]], indirect=True)
def test_what_a_client_makes_up_fails_its_own_request_only(lives: Lives) -> None:
    bad = [{"apar_choice": "x"}, {"apar_forks": 1}, {"apar_max_threads": 10**9}, {"apar_fork": "perhaps"}]
    ends = lives.ask([{"extra_args": extra} for extra in bad])
    assert ends == ["error"] * len(bad)
    assert lives.ask([{"bad_words": [str(number) for number in range(120)]}]) == ["error"]
    _check(lives.run(100))


@pytest.mark.parametrize("lives", [CONFIGURATIONS[0]], indirect=True)
def test_an_end_from_inside_is_told_of_answers_whose_first_thread_has_ended(lives: Lives) -> None:
    roots = lives.until_only_children_run()
    ended = lives.scheduler.finish_requests(None, RequestStatus.FINISHED_ABORTED)
    assert roots <= {request.request_id for request in ended}
    assert not lives.scheduler._forked
    assert not lives.scheduler.requests


@pytest.mark.parametrize("lives", [CONFIGURATIONS[0]], indirect=True)
def test_a_pause_for_new_requests_lets_answers_end_with_all_their_threads(lives: Lives) -> None:
    from vllm.v1.core.sched.interface import PauseState

    lives.until_only_children_run()
    begun = {tree.root.request_id for tree in lives.scheduler._forked.values() if tree.group.step}
    lives.scheduler.set_pause_state(PauseState.PAUSED_NEW)
    while lives.scheduler.has_unfinished_requests():
        lives._step()
    assert not begun & lives.open.keys()
    lives.scheduler.set_pause_state(PauseState.UNPAUSED)
    _check(lives.run(100))


@pytest.mark.parametrize("lives", CONFIGURATIONS[2:], indirect=True)
def test_answers_are_the_same_where_rows_are_short(lives: Lives) -> None:
    _check(lives.run(100))


def test_medusa_drafts_change_no_answer(model: tuple[Path, Any], wanted: list[Wanted], tmp_path: Path) -> None:
    # New heads are right where the text repeats itself.
    save_heads(MedusaHeads.on(model[1]), tmp_path / "heads", model[1])
    drafts = {"method": "medusa", "model": str(tmp_path / "heads"), "num_speculative_tokens": 2}
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
