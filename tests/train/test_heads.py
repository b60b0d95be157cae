"""Labels and loss of Medusa heads on packed trees are those of the paths run alone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from apar.models.heads import HeadsShape, MedusaHeads
from apar.tokens import ControlTokens
from apar.train.heads import HeadFigures, head_labels, heads_loss
from apar.train.mask import dense_mask
from apar.train.samples import IGNORE, Sample, pack, sequential_sample, tree_sample
from apar.tree import Node, ParagraphTree
from tests.engine.tiny import tiny_model
from tests.train.random_trees import random_tree

CONTROL = ControlTokens(fork=1, child=2, eos=frozenset({0}))
EOS = 0
VOCABULARY = 40
PROMPT = [20, 21]


@dataclass(frozen=True)
class Batch:
    ids: Tensor
    next: Tensor
    target: Tensor


def batch_of(*samples: Sample) -> Batch:
    """The samples, filled up to one length as packs are."""
    length = max(map(len, samples)) + 2
    rows = {
        name: [getattr(sample, name) + [filler] * (length - len(sample)) for sample in samples]
        for name, filler in (("ids", 0), ("next", -1), ("target", 0))
    }
    return Batch(**{name: torch.tensor(values) for name, values in rows.items()})


def labels_of(sample: Sample, heads: int = 2) -> list[list[int]]:
    batch = batch_of(sample)
    found = head_labels(batch.ids, batch.next, batch.target, heads)
    return found[:, 0, : len(sample)].tolist()


def lists() -> ParagraphTree:
    """`A a [Fork] (B b) C [Fork] (D) <nothing>`."""
    last = Node("C", Node("D", tokens=(7,)), Node("", tokens=()), (6,))
    return ParagraphTree(Node("Aa", Node("Bb", tokens=(4, 5)), last, (3, 8)))


def test_after_a_fork_the_path_goes_on_with_the_sibling_and_a_detail_begins_at_child() -> None:
    sample = tree_sample(PROMPT, lists(), CONTROL, EOS)
    #                      prompt  A  a  F Ch  B  b eos C  F Ch  D eos eos
    assert sample.ids == [20, 21, 3, 8, 1, 2, 4, 5, 0, 6, 1, 2, 7, 0, 0]
    _ = IGNORE
    assert labels_of(sample) == [
        [_, 8, 1, 6, 1, 5, 0, _, _, 0, _, 0, _, _, _],
        [_, 1, 6, 1, 0, 0, _, _, _, _, _, _, _, _, _],
    ]


def test_the_prompt_has_labels_where_it_is_learned() -> None:
    sample = tree_sample([20, 21, 22], lists(), CONTROL, EOS, loss_on_prompt=True)
    assert [row[:3] for row in labels_of(sample)] == [[22, 3, 8], [3, 8, 1]]


def test_plain_answers_have_the_labels_of_their_text() -> None:
    sample = sequential_sample(PROMPT, lists(), EOS)
    text = [3, 8, 4, 5, 6, 7, EOS]
    assert labels_of(sample) == [[IGNORE, *text[1:], *[IGNORE] * 2], [IGNORE, *text[2:], *[IGNORE] * 3]]


def paths(tree: ParagraphTree) -> Iterator[tuple[list[int], int]]:
    """The tokens of every thread from the prompt on, and where its own begin: at the root, or at its `[Child]`."""
    todo: list[tuple[Node, list[int], int]] = [(tree.root, PROMPT, len(PROMPT) - 1)]
    while todo:
        node, before, own = todo.pop()
        before = [*before, *(node.tokens or ())]
        while node.detail is not None and node.next is not None:
            todo.append((node.detail, [*before, CONTROL.fork, CONTROL.child], len(before) + 1))
            node = node.next
            before = [*before, CONTROL.fork, *(node.tokens or ())]
        yield [*before, EOS], own


@pytest.mark.parametrize("heads", [1, 3])
def test_labels_in_a_pack_of_trees_are_those_of_single_paths(heads: int) -> None:
    rng = random.Random(heads)
    trees = [random_tree(rng, list(range(3, VOCABULARY))) for _ in range(30)]
    [packed] = pack((tree_sample(PROMPT, tree, CONTROL, EOS) for tree in trees), 10_000)
    found = labels_of(packed, heads)
    for head in range(heads):
        wanted = []
        for tree in trees:
            for path, own in paths(tree):
                wanted += [(path[at], path[at + 2 + head]) for at in range(own, len(path) - 2 - head)]
        got = [(token, label) for token, label in zip(packed.ids, found[head], strict=True) if label != IGNORE]
        assert sorted(got) == sorted(wanted)


def random_heads(heads: int = 2, *, tied: bool = True) -> MedusaHeads:
    created = MedusaHeads(HeadsShape(16, VOCABULARY, heads, layers=2, tied=tied))
    for parameter in created.parameters():
        nn.init.normal_(parameter, std=0.5)
    return created


def packed_batch() -> Batch:
    rng = random.Random(5)
    trees = [random_tree(rng, list(range(3, VOCABULARY))) for _ in range(8)]
    return batch_of(*(tree_sample(PROMPT, tree, CONTROL, EOS) for tree in trees))


@pytest.fixture
def output() -> nn.Linear:
    torch.manual_seed(1)
    return nn.Linear(16, VOCABULARY).requires_grad_(False)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("chunk", [7, 512])
def test_loss_and_gradients_in_chunks_are_those_of_all_logits_at_once(
    output: nn.Linear, tied: bool, chunk: int
) -> None:
    torch.manual_seed(0)
    heads, batch = random_heads(tied=tied), packed_batch()
    hidden = torch.randn(*batch.ids.shape, 16)
    found = heads_loss(heads, hidden, batch, output, decay=0.8, chunk=chunk)
    (found.loss_sum / found.weight_sum).backward()
    gradients = [parameter.grad for parameter in heads.parameters()]
    heads.zero_grad()

    labels = head_labels(batch.ids, batch.next, batch.target, 2)
    sums = [
        F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=IGNORE, reduction="sum")
        for logits, wanted in zip(heads.logits(hidden, output), labels, strict=True)
    ]
    count = 0.8 * (labels[0] != IGNORE).sum() + 0.64 * (labels[1] != IGNORE).sum()
    wanted = (0.8 * sums[0] + 0.64 * sums[1]) / count
    wanted.backward()
    torch.testing.assert_close(found.loss_sum / found.weight_sum, wanted, check_dtype=False)
    torch.testing.assert_close(found.by_head[:, 1], torch.stack(sums).detach(), check_dtype=False)
    torch.testing.assert_close(gradients, [parameter.grad for parameter in heads.parameters()])
    assert all(gradient is not None and gradient.any() for gradient in gradients)
    assert output.weight.grad is None


@torch.no_grad()
def test_the_loss_of_a_pack_is_that_of_its_paths_read_alone() -> None:
    rng = random.Random(6)
    trees = [random_tree(rng, list(range(3, VOCABULARY))) for _ in range(4)]
    [packed] = pack((tree_sample(PROMPT, tree, CONTROL, EOS) for tree in trees), 1000)
    model = tiny_model(0, context=1000)
    heads = MedusaHeads.on(model)
    for parameter in heads.parameters():
        nn.init.normal_(parameter, std=0.3)
    rows = {name: torch.tensor([getattr(packed, name)]) for name in ("ids", "next", "target")}
    hidden = model.model(
        torch.tensor([packed.ids]),
        position_ids=torch.tensor([packed.positions]),
        attention_mask=dense_mask(torch.tensor([packed.subtree_end])),
    ).last_hidden_state
    found = heads_loss(heads, hidden, Batch(**rows), model.lm_head)
    wanted = torch.zeros(2)
    for path, own in (each for tree in trees for each in paths(tree)):
        logits = heads.logits(model.model(torch.tensor([path])).last_hidden_state[0], model.lm_head)
        for head in range(2):
            last = len(path) - 2 - head
            if own < last:
                labels = torch.tensor(path[own + 2 + head :])
                wanted[head] += F.cross_entropy(logits[head, own:last], labels, reduction="sum")
    torch.testing.assert_close(found.by_head[:, 1], wanted, check_dtype=False, rtol=1e-5, atol=1e-4)


def test_what_is_correct_is_counted_by_head(output: nn.Linear) -> None:
    torch.manual_seed(2)
    heads, batch = random_heads(), packed_batch()
    hidden = torch.randn(*batch.ids.shape, 16)
    with torch.no_grad():
        found = heads_loss(heads, hidden, batch, output, chunk=9)
        logits = heads.logits(hidden, output)
    labels = head_labels(batch.ids, batch.next, batch.target, 2)
    for head, figures in enumerate(HeadFigures.of(found.by_head)):
        chosen = labels[head] != IGNORE
        ranks = (logits[head] > logits[head].gather(-1, labels[head].clamp(min=0)[..., None])).sum(-1)[chosen]
        assert figures.labels == int(chosen.sum())
        assert figures.top1 == pytest.approx(float((ranks < 1).double().mean()))
        assert figures.top5 == pytest.approx(float((ranks < 5).double().mean()))
    assert 0 < figures.top5 < 1


def test_figures_of_batches_add_up(output: nn.Linear) -> None:
    torch.manual_seed(3)
    heads, batch = random_heads(), packed_batch()
    hidden = torch.randn(*batch.ids.shape, 16)
    whole = heads_loss(heads, hidden, batch, output)
    halves = [
        heads_loss(heads, hidden[rows], Batch(batch.ids[rows], batch.next[rows], batch.target[rows]), output)
        for rows in (slice(0, 3), slice(3, None))
    ]
    torch.testing.assert_close(halves[0].by_head + halves[1].by_head, whole.by_head)
    torch.testing.assert_close(halves[0].weight_sum + halves[1].weight_sum, whole.weight_sum)


def test_a_batch_without_labels_costs_nothing_and_has_a_gradient_of_zero(output: nn.Linear) -> None:
    heads, ids = random_heads(), torch.zeros(1, 6, dtype=torch.long)
    found = heads_loss(heads, torch.randn(1, 6, 16), Batch(ids, ids - 1, ids), output)
    found.loss_sum.backward()
    assert (float(found.loss_sum.detach()), float(found.weight_sum)) == (0, 0)
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in heads.parameters())
    assert HeadFigures.of(found.by_head)[0] == HeadFigures(0, 0.0, 0.0, 0.0)


def test_hidden_states_of_another_type_are_read_as_the_output_layer_needs_them(output: nn.Linear) -> None:
    heads, batch = random_heads(), packed_batch()
    with torch.inference_mode():
        hidden = torch.randn(*batch.ids.shape, 16, dtype=torch.bfloat16)
    found = heads_loss(heads, hidden, batch, output.bfloat16())
    found.loss_sum.backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in heads.parameters())


def test_new_heads_learn_to_repeat_what_the_hidden_states_hold() -> None:
    torch.manual_seed(4)
    heads, output = MedusaHeads(HeadsShape(VOCABULARY, VOCABULARY)), nn.Identity()
    batch = packed_batch()
    hidden = F.one_hot(batch.ids, VOCABULARY).float()
    optimizer = torch.optim.Adam(heads.parameters(), lr=3e-2)
    losses = []
    for _ in range(30):
        found = heads_loss(heads, hidden, batch, output)
        optimizer.zero_grad()
        (found.loss_sum / found.weight_sum).backward()
        optimizer.step()
        losses.append(float((found.loss_sum / found.weight_sum).detach()))
    assert losses[-1] < 0.7 * losses[0]
