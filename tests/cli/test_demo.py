from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from apar.decoding.params import SamplingParams
from apar.demo import QUESTIONS
from apar.errors import ModelError
from apar.tree import ParagraphTree
from tests.cli.conftest import Run
from tests.scripted import LIST, ScriptedLLM

Apar = Callable[..., Run]


def test_the_shipped_questions_are_about_ten_on_a_line_each() -> None:
    questions = QUESTIONS.read_text(encoding="utf-8").splitlines()
    assert 8 <= len(questions) <= 12
    assert all(question == question.strip() and question for question in questions)
    assert len(set(questions)) == len(questions)


def test_every_question_is_answered_all_ways_and_which_goes_first_alternates(
    apar: Apar, scripted: ScriptedLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apar.cli.base_model.base_name", lambda: "owner/base")
    code, out, err = apar("demo", "--count", 3, "--max-tokens", 90)
    assert code == 0
    assert scripted.loaded == ["demo", "owner/base"]
    assert err.splitlines() == ["apar: loading demo", "apar: loading owner/base"]
    questions = QUESTIONS.read_text(encoding="utf-8").splitlines()[:3]
    parallel = SamplingParams(max_tokens=90, top_p=0.9, frequency_penalty=0.3, repeated_leads="end", seed=0)
    sequential, base = replace(parallel, max_parallel_threads=1, drafts=False), replace(parallel, fork=False)
    warm_up, asked = scripted.asked[:3], scripted.asked[3:]
    assert [params for _, params in warm_up] == [replace(way, max_tokens=32) for way in (parallel, sequential, base)]
    assert asked == [
        (question, way)
        for question, ways in zip(
            questions,
            [(parallel, sequential, base), (sequential, parallel, base), (parallel, sequential, base)],
            strict=True,
        )
        for way in ways
    ]
    assert out.count(LIST.text.strip()) == 3
    assert out.count("in parallel ") == out.count("one thread at a time ") == out.count("untaught base ") == 3
    assert out.count("3 of 3 answers forked") == 1


@pytest.mark.parametrize("option", ["--adapter", "--skip-base"])
def test_the_base_is_the_model_without_its_adapter_or_left_out(apar: Apar, scripted: ScriptedLLM, option: str) -> None:
    given = [option, "folder"] if option == "--adapter" else [option]
    code, out, err = apar("demo", "--model", "any", *given, "--count", 1, "--texts")
    assert code == 0
    assert err.count("apar: loading any") == (2 if option == "--adapter" else 1)
    assert scripted.loading == {}
    assert ("untaught base " in out) == (option == "--adapter")
    assert out.count(LIST.text.strip()) == (2 if option == "--adapter" else 1)


@pytest.mark.parametrize(("kind", "of_base"), [(None, {}), ("all", {"drafts": "ngram"}), ("medusa", {"drafts": "off"})])
def test_the_base_drafts_without_the_heads_of_the_taught_model(
    apar: Apar, scripted: ScriptedLLM, kind: str | None, of_base: dict[str, str]
) -> None:
    drafts = ["--drafts", kind] if kind else []
    assert apar("demo", "--model", "any", "--adapter", "A", "--medusa", "H", *drafts, "--count", 1).code == 0
    assert scripted.loaded == ["any", "any"]
    assert scripted.loading == of_base
    run = apar("generate", "any", "Q", "--adapter", "A", "--medusa", "H", *drafts, "--fork", "off")
    assert scripted.loading == of_base
    assert "it drafts without Medusa heads" in run.err


def test_a_model_without_a_base_of_its_own_is_told_as_such(apar: Apar, scripted: ScriptedLLM) -> None:
    code, out, err = apar("demo", "--model", "any", "--count", 1)
    assert code == 0
    assert "any has no base of its own" in err
    assert "untaught" not in out


def test_a_base_that_cannot_be_loaded_costs_no_demo(
    apar: Apar, scripted: ScriptedLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_llm(model: str, console: object, **loading: object) -> ScriptedLLM:
        if not loading:
            raise ModelError("there is no such model")
        return scripted

    monkeypatch.setattr("apar.cli.answering.load_llm", load_llm)
    code, out, err = apar("demo", "--model", "any", "--adapter", "folder", "--count", 1)
    assert code == 0
    assert "the untaught base is left out: there is no such model" in err
    assert "1 of 1 answers forked" in out


def test_an_answer_that_did_not_fork_is_told_as_such(apar: Apar, scripted: ScriptedLLM) -> None:
    scripted.tree = ParagraphTree.leaf("Oslo.")
    out = " ".join(apar("demo", "--count", 1).out.split())
    assert "This answer did not fork" in out
    assert "None of the 1 answers forked" in out
    assert "times as fast as" not in out


def test_own_questions_are_read_from_a_file(apar: Apar, scripted: ScriptedLLM, tmp_path: Path) -> None:
    file = tmp_path / "questions.txt"
    file.write_text("\nWhy?\n\n  Wie schön?  \n", encoding="utf-8")
    assert apar("demo", "--skip-base", "--questions", file).code == 0
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
