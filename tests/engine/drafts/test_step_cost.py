"""What passes cost: measured at the start, and corrected by every pass after it."""

from __future__ import annotations

import pytest

from apar.engine.drafts.step_cost import SIZES, StepCost


def linear(tokens: int) -> float:
    return 0.010 + 0.001 * tokens


def test_between_and_beyond_the_sizes_it_is_a_straight_line() -> None:
    cost = StepCost.measured(linear, max(SIZES))
    for tokens in (1, 2, 3, 7, 20, 100, 128, 500):
        assert cost.seconds(tokens) == pytest.approx(linear(tokens))


def test_sizes_that_were_not_measured_go_on_as_the_last_ones_did() -> None:
    asked: list[int] = []

    def run(tokens: int) -> float:
        asked.append(tokens)
        return linear(tokens)

    cost = StepCost.measured(run, 8)
    assert asked == [1, 4]
    assert cost.seconds(64) == pytest.approx(linear(64))
    assert StepCost.measured(run, 2).seconds(8) == pytest.approx(linear(8))
    assert StepCost.measured(run, 1).seconds(8) == pytest.approx(8 * linear(1))


def test_a_disturbed_measurement_makes_no_larger_pass_cheaper() -> None:
    cost = StepCost.measured(lambda tokens: 1.0 if tokens == 4 else 0.5, 16)
    assert cost.times == sorted(cost.times)


def test_passes_correct_what_was_measured() -> None:
    cost = StepCost.measured(lambda tokens: 0.010, 32)
    for _ in range(400):
        cost.observe(4, 0, 0.016)
    assert cost.seconds(4) == pytest.approx(0.016, rel=0.01)
    assert cost.seconds(32) == pytest.approx(0.010)


def test_what_is_read_of_paths_is_told_apart() -> None:
    cost = StepCost.measured(linear, 32)
    for number in range(400):
        tokens, context = 1 + number % 8, 100 * (number % 13)
        cost.observe(tokens, context, linear(tokens) + 2e-6 * context)
    assert cost.per_context == pytest.approx(2e-6, rel=0.1)
    assert cost.seconds(4, 1000) == pytest.approx(linear(4) + 2e-3, rel=0.05)


def test_one_slow_pass_changes_little() -> None:
    cost = StepCost.measured(linear, 32)
    cost.observe(1, 0, 100.0)
    assert cost.seconds(1) < 1.1 * linear(1)


def test_the_prompts_of_large_passes_change_nothing() -> None:
    cost = StepCost.measured(linear, 32)
    for _ in range(5):
        cost.observe(4096, 4096, 100.0)
    assert cost.per_context == 0
    assert cost.seconds(4, 1000) == pytest.approx(linear(4))
