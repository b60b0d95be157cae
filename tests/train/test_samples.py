"""A packed tree is, for the model, the same as its root-to-leaf paths run alone."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from transformers import LlamaConfig, LlamaForCausalLM

from apar.tokens import ControlTokens
from apar.train.batches import collate
from apar.train.losses import token_losses
from apar.train.samples import IGNORE, Sample, pack, sequential_sample, tree_sample
from apar.tree import Node, ParagraphTree
from tests.train.random_trees import random_tree

CONTROL = ControlTokens(fork=1, child=2, eos=frozenset({0}))
VOCABULARY = list(range(3, 40))


def tree(node: Node) -> ParagraphTree:
    return ParagraphTree(node)


def example() -> ParagraphTree:
    """`A [Fork] (B) C [Fork] (D) <nothing>`."""
    last = Node("C", Node("D", tokens=(6,)), Node("", tokens=()), (5,))
    return tree(Node("A", Node("B", tokens=(4,)), last, (3,)))


def test_the_layout_of_a_tree_is_depth_first_with_path_positions_and_explicit_labels() -> None:
    sample = tree_sample([20, 21], example(), CONTROL, eos=0)
    #                       prompt  A  F  Ch B eos C  F  Ch D eos eos
    assert sample.ids == [20, 21, 3, 1, 2, 4, 0, 5, 1, 2, 6, 0, 0]
    assert sample.positions == [0, 1, 2, 3, 4, 5, 6, 4, 5, 6, 7, 8, 6]
    assert sample.labels == [IGNORE, 3, 1, 5, 4, 0, IGNORE, 1, 0, 6, 0, IGNORE, IGNORE]
    assert sample.subtree_end == [13, 13, 13, 13, 7, 7, 7, 13, 13, 12, 12, 12, 13]
    assert [i for i, flag in enumerate(sample.is_text) if flag] == [1, 3, 4, 9]


def test_child_is_never_a_target_and_every_other_token_of_the_answer_is_one_once() -> None:
    rng = random.Random(1)
    for _ in range(50):
        drawn = random_tree(rng, VOCABULARY)
        sample = tree_sample([20, 21, 22], drawn, CONTROL, eos=0)
        targets = [label for label in sample.labels if label != IGNORE]
        answer = [token for token in sample.ids[3:] if token != CONTROL.child]
        assert sorted(targets) == sorted(answer)
        assert sum(sample.is_text) == sum(len(node.tokens or ()) for node in drawn.nodes())


def test_forked_and_sequential_samples_have_the_same_text_targets() -> None:
    rng = random.Random(2)
    for _ in range(50):
        drawn = random_tree(rng, VOCABULARY)
        forked = tree_sample([20], drawn, CONTROL, eos=0)
        plain = sequential_sample([20], drawn, eos=0)
        assert sorted(text_targets(forked)) == sorted(text_targets(plain))
        assert plain.ids == [20, *(t for node in drawn.nodes() for t in node.tokens or ()), 0]
        assert plain.subtree_end == [len(plain)] * len(plain)


def text_targets(sample: Sample) -> list[int]:
    return [label for label, is_text in zip(sample.labels, sample.is_text, strict=True) if is_text]


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    return LlamaForCausalLM(LlamaConfig(vocab_size=40, num_key_value_heads=2, **shape)).eval()


def paths(prompt: list[int], drawn: ParagraphTree) -> Iterator[tuple[list[int], list[int]]]:
    """Every root-to-leaf path as plain (ids, labels): written down from the definition, not from the code.

    Labels are set only where the path is the first to pass, so that each target counts once.
    """

    def walk(node: Node, ids: list[int], labels: list[int]) -> Iterator[tuple[list[int], list[int]]]:
        ids, labels = [*ids], [*labels]
        for token in node.tokens or ():
            labels[-1] = token
            ids.append(token)
            labels.append(IGNORE)
        if node.detail is None or node.next is None:
            labels[-1] = 0
            yield [*ids, 0], [*labels, IGNORE]
            return
        labels[-1] = CONTROL.fork
        ids.append(CONTROL.fork)
        yield from walk(node.detail, [*ids, CONTROL.child], [*(IGNORE for _ in ids), IGNORE])
        yield from walk(node.next, ids, [*labels, IGNORE])

    yield from walk(drawn.root, prompt, [IGNORE] * len(prompt))


def test_the_loss_of_a_packed_tree_is_the_sum_of_the_losses_of_its_paths_alone(
    model: LlamaForCausalLM,
) -> None:
    rng = random.Random(3)
    for case in range(20):
        drawn, prompt = random_tree(rng, VOCABULARY), rng.choices(VOCABULARY, k=rng.randint(1, 4))
        sample = tree_sample(prompt, drawn, CONTROL, eos=0)
        packed = token_losses(model, collate([sample], len(sample) + case % 3)).sum()
        alone = torch.zeros(())
        for ids, labels in paths(prompt, drawn):
            logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
            alone = alone + F.cross_entropy(logits, torch.tensor(labels), ignore_index=IGNORE, reduction="sum")
        torch.testing.assert_close(packed, alone, rtol=1e-4, atol=1e-4)


def test_eager_attention_gives_the_same_loss(model: LlamaForCausalLM) -> None:
    sample = tree_sample([20, 21], example(), CONTROL, eos=0)
    batch = collate([sample], len(sample) + 2)
    with_sdpa = token_losses(model, batch)
    model.set_attn_implementation("eager")
    with_eager = token_losses(model, batch)
    model.set_attn_implementation("sdpa")
    torch.testing.assert_close(with_sdpa, with_eager, rtol=1e-4, atol=1e-5)


def test_packed_samples_do_not_see_each_other(model: LlamaForCausalLM) -> None:
    rng = random.Random(4)
    samples = [tree_sample([20, 21], random_tree(rng, VOCABULARY, max_depth=2), CONTROL, eos=0) for _ in range(6)]
    alone = sum(token_losses(model, collate([sample], len(sample))).sum() for sample in samples)
    packs = list(pack(samples, 120))
    assert sum(len(p) for p in packs) == sum(len(sample) for sample in samples)
    assert len(packs) < len(samples)
    together = token_losses(model, collate(packs, 120)).sum()
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_a_sample_longer_than_a_pack_is_an_error() -> None:
    with pytest.raises(ValueError, match="13 does not fit into 4"):
        list(pack([tree_sample([20, 21], example(), CONTROL, eos=0)], 4))
