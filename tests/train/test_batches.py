"""The order of training: one seeded order, in the asked proportion."""

from __future__ import annotations

import itertools

import pytest

from apar.data.records import Example
from apar.errors import UserError
from apar.train.batches import endless
from apar.tree import Node, ParagraphTree

FORKING = ParagraphTree(Node("a:", Node(" b"), Node("")))


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
    with pytest.raises(UserError, match="of the 3 answers 3 are structured"):
        next(endless(examples()[:3], 0, seed=1))
