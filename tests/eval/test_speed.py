"""Figures of speed, length and ends over sets of prompts."""

from __future__ import annotations

import pytest

from apar.eval.speed import speed_figures
from apar.tree import Node, ParagraphTree
from tests.eval.answers import answered, by_way, prompt

LIST = ParagraphTree(Node("1. One:", Node(" a thing."), Node("\n2. Two:", Node(" more."), Node(""))))
PROMPTS = [prompt("a", "list", "generic"), prompt("b", "code", "coding"), prompt("c", "code", "coding")]
ANSWERS = by_way(
    answered("a", "forked", LIST, tokens=100, steps=40, seconds=1.0, kv_blocks_peak=9),
    answered("b", "forked", "x", tokens=20, steps=20, seconds=2.0, ended=False, kv_blocks_peak=5),
    answered("c", "forked", "x", tokens=30, steps=30, seconds=0.0, timed=False),
    answered("a", "one_thread", LIST, tokens=100, steps=40, seconds=3.0),
    answered("b", "one_thread", "y", tokens=20, steps=20, seconds=2.0),
    answered("a", "twin", "z", tokens=50, steps=50, seconds=2.0, kv_blocks_peak=3),
    answered("b", "twin", "z", tokens=70, steps=70, seconds=2.0, kv_blocks_peak=3),
    answered("c", "twin", "z", tokens=60, steps=60, seconds=0.0, timed=False),
)


def test_shares_lengths_and_tokens_a_step_are_over_all_answers() -> None:
    found = speed_figures(PROMPTS, ANSWERS)["all"]
    assert found["prompts"] == 3
    assert found["forking"]["forked"] == pytest.approx(1 / 3)
    assert found["tokens_per_step"]["forked"] == pytest.approx(150 / 90)
    assert found["threads"]["forked"] == pytest.approx(5 / 3)
    assert found["ended"]["forked"] == pytest.approx(2 / 3)
    assert found["tokens"] == {"forked": {"mean": 50.0, "median": 30}, "twin": {"mean": 60.0, "median": 60}}


def test_seconds_are_of_the_timed_prompts_alone() -> None:
    timed = speed_figures(PROMPTS, ANSWERS)["all"]["timed"]
    assert timed["prompts"] == 2
    assert timed["seconds"] == {"forked": 1.5, "one_thread": 2.5, "twin": 2.0}
    assert timed["kv_blocks_peak"] == {"forked": 7, "one_thread": 4, "twin": 3}
    over = timed["seconds_over"]["forked"]
    assert over["one_thread"]["mean"]["value"] == pytest.approx((3 + 1) / 2)
    assert over["one_thread"]["total"]["value"] == pytest.approx(5 / 3)
    assert over["twin"]["median"]["value"] == pytest.approx(1.5)
    assert timed["same_text"] == 0.5


def test_answers_that_were_decoded_in_a_crowd_have_no_seconds() -> None:
    answers = {way: ANSWERS[way] for way in ("forked", "twin")}
    timed = speed_figures(PROMPTS, answers)["all"]["timed"]  # type: ignore[arg-type]
    assert timed["prompts"] == 2
    assert timed["same_text"] is None


def test_kinds_and_categories_are_told_apart() -> None:
    found = speed_figures(PROMPTS, ANSWERS)
    assert found["kinds"]["list"]["prompts"] == found["forking"]["forked"]["prompts"] == 1
    assert found["kinds"]["code"]["prompts"] == 2
    assert found["kinds"]["short"] is None
    assert list(found["categories"]) == ["coding", "generic"]


def test_without_timed_prompts_there_are_no_seconds() -> None:
    assert speed_figures(PROMPTS[2:], ANSWERS)["all"]["timed"] is None


def test_a_prompt_that_was_not_answered_counts_nowhere() -> None:
    assert speed_figures([*PROMPTS, prompt("d", "short")], ANSWERS)["kinds"]["short"] is None
