"""What is trained on: filters that count what they leave out, a split by prompt, one seeded order."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pytest

from apar.data.mix import Example, endless, is_held_out, select
from apar.data.records import TreeRecord
from apar.errors import UserError
from apar.train.recipe import Mix
from apar.tree import Node, ParagraphTree

FORKING = ParagraphTree(Node("a:", Node(" b"), Node("")))


def record(prompt: str, response: str = "some answer", **more: Any) -> TreeRecord:
    tree = more.pop("tree", ParagraphTree.leaf(response))
    reason, source, rule = more.pop("reason", None), more.pop("source", "s"), more.pop("rule", "unstructured")
    messages = ({"role": "user", "content": prompt},)
    return TreeRecord("1", source, messages, tree.text, rule, reason, tree, more)


def test_every_record_is_chosen_or_counted_with_its_reason() -> None:
    records = [
        record("a"),
        record("a"),
        record("a", "other"),
        record("a", "third"),
        record("b", "x" * 100),
        record("c", "x"),
        record("d", lang="fr"),
        record("e", reason="code"),
        record("f", source="bad"),
    ]
    mix = Mix(
        max_answers_per_prompt=2,
        min_response_chars=2,
        max_response_chars=50,
        skip_reasons=("code",),
        skip_sources=("bad",),
    )
    selection = select(records, mix)
    assert [example.tree.text for example in selection.train] == ["some answer", "other", "some answer"]
    assert selection.left_out == Counter(
        {
            "duplicate": 1,
            "answers of this prompt": 1,
            "too long": 1,
            "too short": 1,
            "reason code": 1,
            "source": 1,
        }
    )
    assert select(records, Mix(languages=("en",))).train == []


def test_all_answers_of_a_prompt_are_on_the_same_side_of_the_split() -> None:
    records = [record(f"prompt {k % 100}", f"answer {k}") for k in range(300)]
    selection = select(records, Mix(held_out=0.3))
    sides = [{example.messages[0]["content"] for example in part} for part in (selection.train, selection.held_out)]
    assert not sides[0] & sides[1]
    assert 15 < len(sides[1]) < 45
    assert all(is_held_out(prompt, 0.3) for prompt in sides[1])


def test_trees_of_rules_that_are_not_wanted_are_plain_text() -> None:
    records = [record(rule, tree=FORKING, rule=rule) for rule in ("ordered_list", "paragraphs")]
    chosen = select(records, Mix(fork_rules=("ordered_list",))).train
    assert [(example.structured, example.tree.text) for example in chosen] == [(True, "a: b"), (False, "a: b")]


def examples() -> list[Example]:
    trees = [FORKING] * 3 + [ParagraphTree.leaf(str(k)) for k in range(30)]
    return [Example(({"role": "user", "content": "q"},), tree, "rule") for tree in trees]


def test_structured_and_unstructured_answers_come_in_the_asked_proportion() -> None:
    drawn = list(itertools.islice(endless(examples(), 0.5, seed=1), 2000))
    assert 900 < sum(example.structured for example in drawn) < 1100
    assert drawn == list(itertools.islice(endless(examples(), 0.5, seed=1), 2000))


def test_without_a_proportion_every_example_comes_once_a_round() -> None:
    drawn = list(itertools.islice(endless(examples(), None, seed=1), 33))
    assert sorted(example.tree.text for example in drawn) == sorted(example.tree.text for example in examples())


def test_a_proportion_that_the_examples_cannot_give_is_an_error() -> None:
    with pytest.raises(UserError, match="0 are structured"):
        next(endless(examples()[3:], 0.5, seed=1))
