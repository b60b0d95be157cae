from __future__ import annotations

import io

import pytest
from rich.console import Console

from apar.cli.comparison import AnswerPair, summary_sentence, summary_table, verdict
from apar.decoding.answer import Answer


def answer(tokens: int, steps: int, seconds: float, forks: int = 0) -> Answer:
    return Answer(
        text="",
        finish_reason="stop",
        events=(),
        threads=forks + 1,
        forks=forks,
        tokens=tokens,
        decoded=tokens,
        prompt_tokens=5,
        steps=steps,
        forward_passes=steps,
        seconds=seconds,
        kv_blocks_peak=1,
        mode="forked" if forks else "sequential",
        seed=0,
    )


FORKED = AnswerPair("Name some [bold]things[/bold].", answer(100, 25, 0.5, forks=4), answer(50, 51, 1.0))
PLAIN = AnswerPair("What is the capital of Norway?", answer(10, 11, 0.2), answer(10, 11, 0.2))


def test_the_speed_up_is_in_tokens_a_second_since_answers_differ_in_length() -> None:
    assert FORKED.speedup == pytest.approx((100 / 0.5) / (50 / 1.0))
    assert PLAIN.speedup == pytest.approx(1.0)


def test_the_sentence_tells_of_those_that_forked_and_of_all() -> None:
    assert summary_sentence([FORKED, PLAIN]) == (
        "1 of 2 answers forked: those were decoded at 4.0 tokens per step and 4.00 times as many tokens a second "
        "as sequentially; all together 3.14 times."
    )
    assert summary_sentence([PLAIN]).startswith("None of the 1 answers forked")


def test_an_answer_that_did_not_fork_is_not_called_faster() -> None:
    assert "did not fork" in verdict(PLAIN).plain
    assert verdict(FORKED).plain.startswith("4.00 times")


def test_the_table_has_a_row_for_each_question_and_one_for_all_in_eighty_columns() -> None:
    console = Console(file=io.StringIO(), width=80)
    console.print(summary_table([FORKED, PLAIN]))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    rows = [line.split() for line in lines if "x" in line]
    assert [row[-7:] for row in rows[:2]] == [
        ["5", "100", "25", "4.0", "0.50", "1.00", "4.00x"],
        ["1", "10", "11", "0.9", "0.20", "0.20", "1.00x"],
    ]
    assert rows[2] == ["all", "110", "36", "3.1", "0.70", "1.20", "3.14x"]


def test_questions_are_no_markup() -> None:
    console = Console(file=io.StringIO(), width=120)
    console.print(summary_table([FORKED]))
    assert isinstance(console.file, io.StringIO)
    assert "[bold]things[/bold]" in console.file.getvalue()


def test_an_answer_without_tokens_or_time_divides_by_nothing() -> None:
    empty = AnswerPair("Q", answer(0, 1, 0.0), answer(0, 1, 0.0))
    assert empty.speedup == 0.0
    assert summary_sentence([empty])
