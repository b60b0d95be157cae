"""What a step costs: the tree that is timed, and that it runs as it is meant to."""

from __future__ import annotations

from pathlib import Path

import pytest

from apar.bench.model import load_bench_model
from apar.bench.steps import measure_steps, rows_for, step_control, step_tree
from apar.stats import tree_stats
from apar.tree import ParagraphTree
from tests.tiny import tiny_model


def by_tokens(tree: ParagraphTree) -> tuple[int, ...]:
    """Threads alive in each step, by the nodes' tokens."""
    texts = tree._rebuild(lambda node: node.tokens)
    lengths = iter([len(node.tokens or ()) for thread in texts.threads() for node in thread.nodes])
    return tree_stats(texts, lambda text: next(lengths)).threads_per_step


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_all_threads_are_alive_before_the_burst_of_forks_and_twice_as_many_after(threads: int) -> None:
    alive = by_tokens(step_tree(threads, tail=4))
    burst = 2 * threads + 4
    assert set(alive[burst - 4 : burst + 1]) == {threads}
    assert set(alive[burst + 1 : burst + 6]) == {2 * threads}
    assert len(alive) == burst + 6


def test_every_number_of_threads_is_timed_and_one_is_the_measure(tmp_path: Path) -> None:
    bench_model = load_bench_model(str(tiny_model(tmp_path)), None, "auto", "cpu")
    control = step_control(bench_model)
    engine = bench_model.engine(control, None, rows_for((2, 4)))
    found = measure_steps(engine, control, (2, 4), 5, 2, lambda: None)
    assert [one.threads for one in found] == [1, 2, 4]
    assert found[0].ratio == found[0].ratio_low == found[0].ratio_high == 1.0
    assert all(one.milliseconds > 0 and one.ratio_low <= one.ratio <= one.ratio_high for one in found)
