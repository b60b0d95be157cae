"""The order of training: planned from lengths, in the asked proportion; samples come back from disk as they were."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest

from apar.data.records import Example
from apar.errors import UserError
from apar.tokens import ControlTokens
from apar.train.dataset import PackedDataset, SampleStore, draw_order, write_samples
from apar.train.recipe import Recipe
from apar.train.samples import Sample, tree_sample
from apar.tree import ParagraphTree
from tests.train.random_trees import random_tree

CONTROL = ControlTokens(fork=1, child=2, eos=frozenset({0}))
FLAGS = [True] * 3 + [False] * 30


def test_structured_and_unstructured_answers_come_in_the_asked_proportion() -> None:
    drawn = list(itertools.islice(draw_order(FLAGS, 0.5, seed=1), 2000))
    assert 900 < sum(FLAGS[number] for number in drawn) < 1100
    assert drawn == list(itertools.islice(draw_order(FLAGS, 0.5, seed=1), 2000))


def test_without_a_proportion_every_example_comes_once_a_round() -> None:
    drawn = list(itertools.islice(draw_order(FLAGS, None, seed=1), 66))
    assert sorted(drawn[:33]) == sorted(drawn[33:]) == list(range(33))
    assert drawn[:33] != drawn[33:]


def test_a_proportion_that_the_examples_cannot_give_is_an_error() -> None:
    with pytest.raises(UserError, match="0 are structured"):
        draw_order(FLAGS[3:], 0.5, seed=1)
    with pytest.raises(UserError, match="of the 3 answers that fit into max_length 3 are structured"):
        draw_order(FLAGS[:3], 0, seed=1)
    with pytest.raises(UserError, match="none of the answers fits"):
        draw_order([], None, seed=1)


class TreeEncoder:
    """Encodes examples whose trees have tokens already."""

    max_length = 40

    def sample(self, example: Example) -> Sample:
        return tree_sample([5, 6], example.tree, CONTROL, eos=0)

    def room(self, sample: Sample, example: Example) -> int:
        return len(sample)


def drawn_examples(count: int) -> list[Example]:
    rng = random.Random(3)
    trees: list[ParagraphTree] = [random_tree(rng, list(range(7, 40))) for _ in range(count)]
    return [Example(({"role": "user", "content": "q"},), tree, "rule") for tree in trees]


def test_samples_come_back_as_they_were_and_packs_hold_them_whole(tmp_path: Path) -> None:
    examples, encoder = drawn_examples(60), TreeEncoder()
    write_samples(examples, encoder, tmp_path / "samples", "")  # type: ignore[arg-type]
    store = SampleStore(tmp_path / "samples")
    samples = [encoder.sample(example) for example in examples]
    fitting = [sample for sample in samples if len(sample) <= 40]
    assert [store[number] for number in range(len(store))] == fitting
    assert store.too_long == len(samples) - len(fitting) > 0
    chosen = Recipe.model_validate(
        {
            **{"output": tmp_path, "start": {"model": "m"}, "trees": ["t"], "mix": {"structured": None}},
            **{"max_length": 40, "batch_tokens": 80, "steps": 20},
        }
    )
    packs = PackedDataset(store, chosen)
    assert len(packs) == 40
    for number, members in enumerate(packs.packs):
        joined = Sample()
        for member in members:
            joined.extend(fitting[member])
        assert packs[number]["ids"].tolist()[: len(joined)] == joined.ids
        assert packs[number]["next"].tolist()[: len(joined)] == joined.next
        assert packs[number]["target"].tolist()[len(joined) :] == [0] * (40 - len(joined))
    longer = PackedDataset(store, chosen.model_copy(update={"steps": 30}))
    assert longer.packs[:40] == packs.packs
