"""The independent reader's loss on the answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apar.eval.answered import Answered
from apar.eval.journal import Journal
from apar.eval.plan import ModelSpec, Plan
from apar.eval.reader import read_answers, reader_figures
from apar.eval.scoring import load_scorer
from apar.tree import ParagraphTree
from tests.eval.answers import answered, by_way, prompt
from tests.tiny import tiny_model

PROMPTS = [prompt("a"), prompt("b")]


def silent(what: str, done: int, total: int) -> None:
    pass


def figures(folder: Path, *answers: Answered, **more: Any) -> dict[str, Any]:
    plan = _plan(folder, **more)
    journal = Journal(plan.journal, "f")
    read_answers(plan, {"one": PROMPTS}, {"one": by_way(*answers)}, journal, silent)
    return reader_figures("one", PROMPTS, by_way(*answers), journal)


def _plan(folder: Path, **more: Any) -> Plan:
    reader = folder / "reader"
    if not reader.exists():
        tiny_model(reader, control=False)
    given = {"model": "m", "reader": str(reader), "output": folder / "r.json", "sets": {"one": {"trees": ["t"]}}}
    return Plan.model_validate({**given, **more})


def test_the_loss_is_that_of_the_answer_behind_its_prompt(tmp_path: Path) -> None:
    text = "Read a book."
    found = figures(tmp_path, answered("a", tree=text))["nats"]["forked"]
    scorer = load_scorer(ModelSpec(model=str(tmp_path / "reader")), _plan(tmp_path))
    answer = scorer.encode(ParagraphTree.leaf(text))
    [losses] = scorer.losses([scorer.lay_out(PROMPTS[0].messages, answer, 0)], 999)
    assert found["answers"] == 1
    assert found["a_token"] == pytest.approx(float(losses.mean()))
    assert found["a_character"] == pytest.approx(float(losses.sum()) / len(text))


def test_model_and_twin_are_paired_by_prompt(tmp_path: Path) -> None:
    found = figures(
        tmp_path,
        answered("a", "forked", "Read a book."),
        answered("b", "forked", "Sleep."),
        answered("a", "twin", "Read a book."),
        answered("b", "twin", ""),
    )
    assert found["nats"]["twin"]["answers"] == 1
    for unit in ("a_token", "a_character"):
        assert found["paired"]["forked"]["twin"][unit]["prompts"] == 1
        assert found["paired"]["forked"]["twin"][unit]["difference"]["value"] == pytest.approx(0, abs=1e-5)


def test_the_same_answer_one_thread_at_a_time_is_not_read_again(tmp_path: Path) -> None:
    found = figures(tmp_path, answered("a", "forked", "Read."), answered("a", "one_thread", "Read."))
    assert list(found["nats"]) == ["forked"]
    assert found["paired"] == {"forked": {}}


def test_an_answer_longer_than_the_readers_context_is_left_out(tmp_path: Path) -> None:
    assert figures(tmp_path, answered("a", tree="water " * 300))["nats"]["forked"] is None


def test_what_was_read_is_not_read_again(tmp_path: Path) -> None:
    first = figures(tmp_path, answered("a", tree="Read a book."))
    assert figures(tmp_path, answered("a", tree="Read a book."), reader="gone") == first


@pytest.mark.parametrize(("more", "expected"), [({"reader": "r", "base": "b"}, "r"), ({"base": "b"}, "b"), ({}, "m")])
def test_the_reader_is_the_base_where_the_plan_names_none(more: dict[str, Any], expected: str) -> None:
    given = {"model": {"model": "m", "adapter": "a"}, "output": "r.json", "sets": {"one": {"trees": ["t"]}}}
    assert Plan.model_validate({**given, **more}).read_by == ModelSpec(model=expected)
