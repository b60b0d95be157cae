from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from apar.demo import QUESTIONS
from apar.tree import ParagraphTree
from tests.cli.conftest import Run
from tests.scripted import LIST, ScriptedLLM

Apar = Callable[..., Run]


def test_the_shipped_questions_are_about_ten_on_a_line_each() -> None:
    questions = QUESTIONS.read_text(encoding="utf-8").splitlines()
    assert 8 <= len(questions) <= 12
    assert all(question == question.strip() and question for question in questions)
    assert len(set(questions)) == len(questions)


def test_every_question_is_answered_both_ways_and_which_goes_first_alternates(
    apar: Apar, scripted: ScriptedLLM
) -> None:
    code, out, err = apar("demo", "--count", 3, "--max-tokens", 90)
    assert (code, err) == (0, "")
    questions = QUESTIONS.read_text(encoding="utf-8").splitlines()[:3]
    warm_up, asked = scripted.asked[:2], scripted.asked[2:]
    assert {params.fork for _, params in warm_up} == {True, False}
    assert all(params.max_tokens < 90 for _, params in warm_up)
    assert [(question, params.fork) for question, params in asked] == [
        (questions[0], True),
        (questions[0], False),
        (questions[1], False),
        (questions[1], True),
        (questions[2], True),
        (questions[2], False),
    ]
    assert all(params.max_tokens == 90 for _, params in asked)
    assert {(params.temperature, params.seed) for _, params in asked} == {(0.5, 0)}
    assert out.count(LIST.text.strip()) == 3
    assert out.count("in parallel ") == out.count("sequentially ") == 3
    assert out.count("3 of 3 answers forked") == 1


def test_an_answer_that_did_not_fork_is_told_as_such(apar: Apar, scripted: ScriptedLLM) -> None:
    scripted.tree = ParagraphTree.leaf("Oslo.")
    out = " ".join(apar("demo", "--count", 1).out.split())
    assert "This answer did not fork" in out
    assert "None of the 1 answers forked" in out
    assert "times as many tokens a second as" not in out


def test_own_questions_are_read_from_a_file(apar: Apar, scripted: ScriptedLLM, tmp_path: Path) -> None:
    file = tmp_path / "questions.txt"
    file.write_text("\nWhy?\n\n  Wie schön?  \n", encoding="utf-8")
    assert apar("demo", "--questions", file).code == 0
    assert [question for question, _ in scripted.asked[2::2]] == ["Why?", "Wie schön?"]


@pytest.mark.parametrize(
    ("data", "message"), [(b"\n \n", "has no questions"), (b"\xff", "not UTF-8"), (None, "cannot read")]
)
def test_a_file_without_questions_is_one_line_and_exit_code_two(
    apar: Apar, scripted: ScriptedLLM, tmp_path: Path, data: bytes | None, message: str
) -> None:
    file = tmp_path / "questions.txt"
    if data is not None:
        file.write_bytes(data)
    code, out, err = apar("demo", "--questions", file)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_output_that_is_piped_has_no_control_sequences_and_fits_eighty_columns(
    apar: Apar, scripted: ScriptedLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = apar("demo", "--count", 2).out
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) <= 80


def test_a_real_model_is_compared_with_itself(apar: Apar, tiny: Path) -> None:
    code, out, _ = apar("demo", "--model", tiny, "--count", 2, "--max-tokens", 40)
    assert code == 0
    assert "2 of 2 answers forked" in out
