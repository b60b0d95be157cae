"""Structure figures against trees drawn by hand, and the bound against a scheduler that is played through."""

from __future__ import annotations

import pytest
from hypothesis import given

from apar.bench.answers import BenchAnswer
from apar.bench.structure import fewest_passes, speedup_bound, structure_by_category, structure_figures
from apar.stats import tree_stats
from apar.tree import Node, ParagraphTree, ThreadPath
from tests.trees import trees

# "ab[Fork]" then "c[Fork]" then "d"; the details are "xxxx" and "yy".
DRAWN = ParagraphTree(Node("ab", Node("xxxx"), Node("c", Node("yy"), Node("d"))))


def test_the_figures_of_a_drawn_tree() -> None:
    figures = structure_figures([tree_stats(DRAWN, len)], (1, 2, None))
    assert figures.tokens == 10
    assert figures.sequential_steps == 11
    # The root samples a b [Fork] c [Fork] d <eos>; "xxxx" begins in step 3 and ends with <eos> in step 7.
    assert figures.critical_path == 8
    assert figures.threads == 3
    assert figures.forking == 1
    # 15 tokens are sampled: 10 of text, 2 [Fork], 3 <eos>.
    assert figures.bounds == {"1": 11 / 15, "2": 11 / 9, "inf": 11 / 8}


@given(trees())
def test_one_row_samples_every_token_and_unlimited_rows_take_the_critical_path(tree: ParagraphTree) -> None:
    stats = tree_stats(tree, len)
    assert fewest_passes(stats.threads_per_step, 1) == stats.sequential_steps + 2 * stats.forks
    assert fewest_passes(stats.threads_per_step, None) == stats.critical_path
    assert fewest_passes(stats.threads_per_step, stats.peak_threads) == stats.critical_path


@given(trees())
def test_the_bound_is_what_taking_the_longest_rest_first_reaches(tree: ParagraphTree) -> None:
    stats = tree_stats(tree, len)
    for rows in (1, 2, 3, 5):
        assert fewest_passes(stats.threads_per_step, rows) == _played(tree, rows)


def _played(tree: ParagraphTree, rows: int) -> int:
    """PassLog of a greedy scheduler: in each, the `rows` live threads whose longest rest is longest sample a token."""
    lengths: dict[ThreadPath, int] = {}
    opens: dict[ThreadPath, dict[int, ThreadPath]] = {}
    for thread in tree.threads():
        length, opened = 0, {}
        for node in thread.nodes:
            length += len(node.text)
            if node.forks:
                length += 1
                opened[length] = (*thread.path, len(opened))
        lengths[thread.path], opens[thread.path] = length + 1, opened
    rest: dict[tuple[ThreadPath, int], int] = {}
    for path in sorted(lengths, key=len, reverse=True):
        longest = 0
        for done in reversed(range(lengths[path])):
            if child := opens[path].get(done + 1):
                longest = max(longest, rest[child, 0])
            longest += 1
            rest[path, done] = longest
    live = {(0,): 0}
    passes = 0
    while live:
        passes += 1
        for path in sorted(live, key=lambda path: -rest[path, live[path]])[:rows]:
            live[path] += 1
            if child := opens[path].get(live[path]):
                live[child] = 0
            if live[path] == lengths[path]:
                del live[path]
    return passes


def test_an_answer_without_forks_gains_nothing_from_rows() -> None:
    stats = tree_stats(ParagraphTree.leaf("abc"), len)
    assert speedup_bound(stats, None) == speedup_bound(stats, 1) == 1.0


def test_categories_come_in_order_and_all_last() -> None:
    answers = [
        BenchAnswer("1", "writing", (), DRAWN),
        BenchAnswer("2", "coding", (), ParagraphTree.leaf("abcd")),
    ]
    found = structure_by_category(answers, len, (None,))
    assert list(found) == ["coding", "writing", "all"]
    assert found["all"].bounds["inf"] == pytest.approx((11 + 5) / (8 + 5))
    assert found["coding"].attended_ratio == 1.0
