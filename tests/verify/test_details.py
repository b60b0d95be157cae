"""A laid-out answer shows each token its path, as the trainer does, and predicts every token of the text once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from apar.tokens import ControlTokens
from apar.train.samples import tree_sample
from apar.tree import Node, ParagraphTree
from apar.verify.details import Detail, EncodedAnswer, Layout, details, layout
from tests.trees import encoded, trees

CONTROL = ControlTokens(fork=-1, child=-2, eos=frozenset({-3}))
PROMPT = [7, 8]


def of(tree: ParagraphTree) -> EncodedAnswer:
    return EncodedAnswer.of(tree, lambda text: [ord(character) for character in text])


def path(laid: Layout, index: int) -> list[int]:
    """The ids that the token at `index` attends to, itself last."""
    return [token for j, token in enumerate(laid.ids[: index + 1]) if laid.subtree_end[j] > index]


def test_details_have_their_level_their_number_and_the_detail_they_lie_in() -> None:
    inner = Node("c", Node("d"), Node("e", Node("f"), Node("")))
    tree = ParagraphTree(Node("a", Node("b"), Node("B", inner, Node("g", Node("h"), Node("i")))))
    assert details(tree) == [
        Detail(1, 2, 1, 0, -1),
        Detail(3, 7, 1, 1, -1),
        Detail(4, 5, 2, 0, 1),
        Detail(6, 7, 2, 1, 1),
        Detail(8, 9, 1, 2, -1),
    ]


@given(trees())
def test_with_control_tokens_an_answer_is_laid_out_as_it_is_trained_on(tree: ParagraphTree) -> None:
    answer = of(tree)
    laid = layout(PROMPT, answer, answer.depth, CONTROL)
    sample = tree_sample(PROMPT, encoded(tree), CONTROL, eos=-3)
    kept = [i for i, token in enumerate(sample.ids) if token != -3]
    assert laid.ids == [sample.ids[i] for i in kept]
    assert laid.positions == [sample.positions[i] for i in kept]
    trained = sorted((kept.index(i), sample.labels[i]) for i in kept if sample.is_text[i])
    # The last token before a fork and the next node's first share no source here: [Child] opens the detail.
    assert sorted(zip(laid.before, laid.targets, strict=True)) == trained
    for k, i in enumerate(kept):
        seen = [sample.ids[j] for j in range(i + 1) if sample.subtree_end[j] > i]
        assert path(laid, k) == seen


@given(trees(), st.booleans())
def test_every_token_of_the_text_is_predicted_once_in_reading_order_from_its_path(
    tree: ParagraphTree, forked: bool
) -> None:
    answer = of(tree)
    for depth in range(answer.depth + 1):
        laid = layout(PROMPT, answer, depth, CONTROL if forked else None)
        assert "".join(map(chr, laid.targets)) == tree.text
        placed = [i for i in range(len(PROMPT), len(laid)) if laid.ids[i] >= 0]
        assert [laid.ids[i] for i in placed] == laid.targets
        for before, i in zip(laid.before, placed, strict=True):
            seen = path(laid, i)
            assert path(laid, before) == seen[:-1]
            assert laid.positions[i] == len(seen) - 1


@given(trees())
def test_a_token_misses_just_the_details_before_it_that_are_hidden_at_that_depth(tree: ParagraphTree) -> None:
    answer = of(tree)
    for depth in range(answer.depth + 1):
        laid = layout(PROMPT, answer, depth, None)
        for index in range(len(answer.tokens)):
            shown = [
                token
                for k, token in enumerate(answer.tokens[:index])
                if not any(d.level <= depth and d.at <= k < d.end <= index for d in answer.details)
            ]
            assert path(laid, laid.before[index]) == [*PROMPT, *shown]
