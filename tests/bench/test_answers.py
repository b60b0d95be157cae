"""Which answers are measured, and what categories they are of."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from apar.bench.answers import even_sample, parse_only, read_answers
from apar.data.records import TreeRecord
from apar.errors import UserError
from apar.tree import ParagraphTree


def record(number: int, response: str = "text", **extra: str) -> TreeRecord:
    messages = ({"role": "user", "content": f"question {number}"},)
    leaf = ParagraphTree.leaf(response)
    return TreeRecord(str(number), "drawn", messages, response, "unstructured", "too_few_parts", leaf, extra)


def written(path: Path, *records: TreeRecord) -> Path:
    path.write_text("".join(one.to_json() + "\n" for one in records))
    return path


def test_a_category_is_the_questions_then_the_records_then_the_rule(tmp_path: Path) -> None:
    trees = written(tmp_path / "trees.jsonl", record(1, category="own"), record(2, category="own"), record(3))
    questions = tmp_path / "questions.jsonl"
    questions.write_text(json.dumps({"text": "question 1", "category": "asked"}) + "\n")
    assert [one.category for one in read_answers(trees, questions)] == ["asked", "own", "unstructured"]


def test_only_keeps_the_values_named_and_empty_answers_are_not_measured(tmp_path: Path) -> None:
    trees = written(tmp_path / "t.jsonl", record(1, model="a"), record(2, model="b"), record(3, "", model="a"))
    assert [one.id for one in read_answers(trees, only=parse_only(["model=a"]))] == ["1"]
    assert [one.id for one in read_answers(trees, only=parse_only(["model=a,b"]))] == ["1", "2"]


def test_only_knows_the_category_that_an_answer_is_measured_in(tmp_path: Path) -> None:
    trees = written(tmp_path / "t.jsonl", record(1, category="own"), record(2, category="own"))
    questions = tmp_path / "questions.jsonl"
    questions.write_text(json.dumps({"text": "question 1", "category": "asked"}) + "\n")
    assert [one.id for one in read_answers(trees, questions, parse_only(["category=asked"]))] == ["1"]
    assert [one.id for one in read_answers(trees, only=parse_only(["category=own"]))] == ["1", "2"]


def test_a_sample_is_even_over_categories_and_the_same_every_time(tmp_path: Path) -> None:
    records = [record(n, category="many") for n in range(20)] + [record(n, category="few") for n in range(20, 23)]
    answers = read_answers(written(tmp_path / "t.jsonl", *records))
    sample = even_sample(answers, 8, lambda answer: answer.category)
    assert Counter(one.category for one in sample) == {"many": 5, "few": 3}
    assert sample == even_sample(answers, 8, lambda answer: answer.category)
    assert [int(one.id) for one in sample] == sorted(int(one.id) for one in sample)


@pytest.mark.parametrize("option", ["model", "=a", "model="])
def test_another_form_of_only_is_refused(option: str) -> None:
    with pytest.raises(UserError, match="is not KEY=VALUE"):
        parse_only([option])


def test_a_file_without_answers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no answer with text that --only lets pass"):
        read_answers(written(tmp_path / "t.jsonl", record(1)), only={"model": ["b"]})


def test_a_question_without_a_category_is_named_by_its_line(tmp_path: Path) -> None:
    questions = tmp_path / "questions.jsonl"
    questions.write_text('{"text": "a", "category": "b"}\n{"text": "c"}\n')
    with pytest.raises(UserError, match="line 2"):
        read_answers(written(tmp_path / "t.jsonl", record(1)), questions)
