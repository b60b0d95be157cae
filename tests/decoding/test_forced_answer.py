"""Scripted answers: the engine does its work, and says what it is told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from apar.assemble import Assembler
from apar.decoding.forced_answer import ForcedAnswer
from apar.decoding.group import Group
from apar.decoding.params import SamplingParams
from apar.engine.engine import Engine
from apar.errors import RequestError, RunError
from apar.scheduling.blocks import BlockPool
from apar.stats import tree_stats
from apar.tokens import ControlTokens
from apar.tree import ROOT, Node, ParagraphTree
from tests.engine.tiny import VOCABULARY, tiny_model
from tests.trees import trees

CONTROL = ControlTokens(VOCABULARY - 1, VOCABULARY - 2, frozenset({0}))
LETTERS = " ab\n:.é"
PROMPT = [9, 8, 7]
TREE = ParagraphTree(Node("a:", Node("bb", Node("a"), Node("")), Node("b", Node("aaaa"), Node("a")))).encode(
    lambda text: [LETTERS.index(letter) + 1 for letter in text]
)
TREE_TOKENS = len(TREE.text)


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny_model(1, context=256)


def engine_of(model: Any, blocks: int = 100, rows: int = 64) -> Engine:
    decode = "".join
    return Engine(
        model,
        lambda ids: decode(LETTERS[token - 1] if 0 < token <= len(LETTERS) else "?" for token in ids),
        CONTROL.eos,
        CONTROL,
        BlockPool(blocks, 4),
        rows,
    )


def told(engine: Engine, forced: ForcedAnswer, params: SamplingParams | None = None) -> Group:
    group = engine.add(PROMPT, params or forced.params(), forced=forced)
    while not group.done:
        engine.step()
        engine.check()
    if group.error:
        raise group.error
    return group


@settings(max_examples=30)
@given(trees())
def test_a_scripted_tree_is_told_word_for_word_in_as_many_passes_as_its_critical_path(tree: ParagraphTree) -> None:
    encoded = tree.encode(lambda text: [LETTERS.index(letter) + 1 for letter in text])
    stats = tree_stats(tree, len)
    group = told(engine_of(tiny_model(1, context=256)), ForcedAnswer.forked(encoded, CONTROL, 0))
    assert group.assembler.text == tree.text
    assert group.created == tree.num_threads
    assert group.passes == stats.critical_path


def test_the_same_tree_in_one_thread_takes_a_pass_for_every_token_and_one_to_end(model: Any) -> None:
    group = told(engine_of(model), ForcedAnswer.sequential(TREE, 0))
    assert group.assembler.text == TREE.text
    assert group.passes == len(TREE.text) + 1
    assert group.created == 1


def test_short_of_rows_and_blocks_the_script_is_told_all_the_same(model: Any) -> None:
    group = told(engine_of(model, blocks=6, rows=2), ForcedAnswer.forked(TREE, CONTROL, 0))
    assert group.assembler.text == TREE.text
    assert group.passes > tree_stats(TREE, len).critical_path


def test_the_longest_path_counts_control_tokens() -> None:
    forced = ForcedAnswer.forked(TREE, CONTROL, 0)
    # "a:[Fork]" "b[Fork]" "[Child]aaaa" is the longest; the root ends "a:[Fork]b[Fork]a".
    assert forced.longest == 3 + 2 + 5
    assert forced.tokens == len(TREE.text)
    assert forced.depth == 3


def test_events_are_those_of_an_answer(model: Any) -> None:
    assembler = Assembler(())
    for event in told(engine_of(model), ForcedAnswer.forked(TREE, CONTROL, 0)).events:
        assembler.feed(event)
    assert assembler.text == TREE.text


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"max_tokens": 5}, "max_tokens is 5"),
        # All its tokens, but not the two of every live thread that a fork needs.
        ({"max_tokens": TREE_TOKENS + 1}, f"max_tokens is {TREE_TOKENS + 1}"),
        ({"fork": False}, "fork is off"),
        ({"max_threads": 3}, "max_threads is 3"),
        ({"max_depth": 2}, "max_depth is 2"),
        ({"stop": ("a",)}, "stop strings"),
        ({"logprobs": 0}, "logprobs"),
    ],
)
def test_what_would_cut_a_script_or_is_not_in_it_is_refused(model: Any, params: dict[str, Any], named: str) -> None:
    forced = ForcedAnswer.forked(TREE, CONTROL, 0)
    with pytest.raises(RequestError, match=named):
        engine_of(model).add(PROMPT, SamplingParams(**params), forced=forced)


def test_a_script_longer_than_the_context_is_refused(model: Any) -> None:
    with pytest.raises(RequestError, match="the context is 12"):
        engine_of(model, blocks=3).add(PROMPT, SamplingParams(), forced=ForcedAnswer.forked(TREE, CONTROL, 0))


def test_a_fork_that_the_grammar_forbids_fails_the_request(model: Any) -> None:
    forced = ForcedAnswer({ROOT: (CONTROL.fork, 0), (0, 0): (1, 0)}, 1, 3)
    with pytest.raises(RunError, match="forks against the grammar"):
        told(engine_of(model), forced)


def test_a_tree_without_tokens_is_no_script() -> None:
    with pytest.raises(RequestError, match="encode it first"):
        ForcedAnswer.sequential(ParagraphTree.leaf("a"), 0)
