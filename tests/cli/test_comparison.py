from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from apar.cli.comparison import Comparison, numbers_table, summary_sentence, summary_table, verdict
from apar.decoding.answer import Answer


def answer(tokens: int, passes: int, seconds: float, forks: int = 0) -> Answer:
    return Answer(
        text="",
        finish_reason="stop",
        events=(),
        threads=forks + 1,
        forks=forks,
        tokens=tokens,
        decoded=tokens,
        prompt_tokens=5,
        steps=passes,
        forward_passes=passes,
        seconds=seconds,
        kv_blocks_peak=1,
        mode="forked",
        seed=0,
    )


FORKED = Comparison("Name some [bold]things[/bold].", answer(100, 25, 0.5, forks=4), answer(100, 109, 1.5, forks=4))
PLAIN = Comparison("What is the capital of Norway?", answer(10, 11, 0.2), answer(10, 11, 0.2))
WITH_BASE = [replace(FORKED, base=answer(80, 81, 1.0)), replace(PLAIN, base=answer(20, 21, 0.4))]


def printed(drawn: object, width: int = 80) -> str:
    file = io.StringIO()
    Console(file=file, width=width).print(drawn)
    return file.getvalue()


def test_the_speed_up_is_in_seconds_for_the_same_answer() -> None:
    assert FORKED.speedup == pytest.approx(3.0)
    assert PLAIN.speedup == pytest.approx(1.0)


def test_the_sentence_tells_of_those_that_forked_and_of_all() -> None:
    assert summary_sentence([FORKED, PLAIN]) == (
        "1 of 2 answers forked: those came 3.00 times as fast as the same answers with one thread at a time, at 4.0 "
        "tokens per pass; all together 2.43 times as fast."
    )
    assert summary_sentence([PLAIN]).startswith("None of the 1 answers forked")


def test_the_base_has_answers_of_its_own() -> None:
    assert summary_sentence(WITH_BASE).endswith(
        "On average the taught model took 0.35 s for an answer of 55 tokens, the untaught base 0.70 s for one of its "
        "own, of 50."
    )
    lines = printed(numbers_table(WITH_BASE[0])).splitlines()
    assert [line.split("  ")[0] for line in lines] == ["in parallel", "one thread at a time", "untaught base"]
    assert " ".join(lines[1].split()) == "one thread at a time 1.50 s 100 tokens 109 passes 5 threads"


def test_an_answer_that_did_not_fork_is_not_called_faster() -> None:
    assert "did not fork" in verdict(PLAIN).plain
    assert verdict(FORKED).plain.startswith("3.00 times as fast")


def test_texts_that_differ_are_told() -> None:
    other = replace(FORKED, sequential=replace(FORKED.sequential, text="another"))
    assert "came out differently" in verdict(other).plain


def test_the_table_has_a_row_for_each_question_and_one_for_all_in_eighty_columns() -> None:
    lines = printed(summary_table([FORKED, PLAIN])).splitlines()
    assert max(map(len, lines)) <= 80
    rows = [line.split() for line in lines if "x " in line]
    assert [row[-6:] for row in rows[:2]] == [
        ["3.00x", "0.50", "1.50", "100", "4.0", "5"],
        ["1.00x", "0.20", "0.20", "10", "0.9", "1"],
    ]
    assert rows[2] == ["all", "2.43x", "0.70", "1.70", "110", "3.1", "6"]
    with_base = printed(summary_table(WITH_BASE)).splitlines()
    assert max(map(len, with_base)) <= 80
    assert [line.split()[-2:] for line in with_base if "x " in line] == [
        ["1.00", "80"],
        ["0.40", "20"],
        ["1.40", "100"],
    ]


def test_drafts_are_told_of_the_answers_that_had_some() -> None:
    drafting = replace(FORKED, parallel=replace(FORKED.parallel, drafted=(40, 24), accepted=(12, 4)))
    lines = printed(numbers_table(drafting)).splitlines()
    assert " ".join(lines[0].split()) == "in parallel 0.50 s 100 tokens 25 passes 5 threads 16/64 drafts"
    assert "drafts" not in lines[1]
    lines = printed(summary_table([drafting, PLAIN])).splitlines()
    assert max(map(len, lines)) <= 80
    rows = [line.split() for line in lines if "x " in line]
    assert [row[-2:] for row in (rows[0], rows[2])] == [["25", "%"], ["25", "%"]]
    assert rows[1][-1] == "–"
    assert "drafts" not in printed(summary_table([FORKED, PLAIN]))
    with_base = printed(summary_table([replace(drafting, base=answer(80, 81, 1.0))])).splitlines()
    assert max(map(len, with_base)) <= 80


def test_questions_are_no_markup() -> None:
    assert "[bold]things[/bold]" in printed(summary_table([FORKED]), width=120)


def test_an_answer_without_tokens_or_time_divides_by_nothing() -> None:
    empty = Comparison("Q", answer(0, 0, 0.0), answer(0, 0, 0.0), answer(0, 0, 0.0))
    assert empty.speedup == 0.0
    assert summary_sentence([empty])
    assert printed(summary_table([empty]))
