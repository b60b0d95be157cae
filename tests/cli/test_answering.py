"""The line of figures under an answer."""

from __future__ import annotations

from dataclasses import replace

from apar.cli.answering import numbers
from apar.client.chat_chunks import AnswerStats
from tests.cli.test_comparison import answer

PLAIN = answer(100, 25, 0.5, forks=4)
DRAFTED = replace(PLAIN, forward_passes=20, drafted=(60, 36), accepted=(30, 11))


def test_steps_are_told_where_there_were_no_drafts() -> None:
    assert numbers(PLAIN) == "100 tokens in 25 steps (4.0 per step), 5 threads, 0.50 s, 200 tokens/s"


def test_with_drafts_passes_and_the_share_of_right_ones_are_told() -> None:
    assert numbers(DRAFTED) == (
        "100 tokens in 25 steps (4.0 per step), 20 passes (5.0 per pass), 43 % of 96 draft tokens right, 5 threads, "
        "0.50 s, 200 tokens/s"
    )


def test_one_thread_at_a_time_has_passes_in_place_of_steps() -> None:
    assert numbers(replace(PLAIN, mode="sequential")).startswith("100 tokens in 25 passes, one thread at a time, 5")
    assert numbers(replace(DRAFTED, mode="sequential")).startswith(
        "100 tokens in 20 passes (5.0 per pass), one thread at a time, 43 % of 96 draft tokens right, 5 threads"
    )


def test_what_a_server_tells_of_drafts_is_told_and_nothing_else() -> None:
    told = AnswerStats("stop", tokens=8, steps=8, threads=1, forward_passes=1, drafted=(1,), accepted=(1,), seconds=1)
    assert "1 pass (8.0 per pass), 100 % of 1 draft token right" in numbers(told)
    assert numbers(replace(told, forward_passes=None)) == (
        "8 tokens in 8 steps (1.0 per step), 100 % of 1 draft token right, 1 thread, 1.00 s, 8 tokens/s"
    )
    assert numbers(AnswerStats("stop", seconds=1.0)) == "1.00 s"


def test_why_an_answer_that_rules_may_fork_stayed_sequential_is_told() -> None:
    ruled = replace(PLAIN, by_rules=True, threads=1, forks=0)
    assert ", no item of a list to fork at, 0.50 s" in numbers(ruled)
    told = numbers(replace(ruled, not_forked={"table": 1, "limits": 2}))
    assert ", 1 thread, 3 leads did not fork (limits 2, table), 0.50 s" in told
    assert "1 lead did not fork (prose)" in numbers(AnswerStats("stop", not_forked={"prose": 1}, by_rules=True))
