"""The forks of real answers are those that were drawn by hand."""

from __future__ import annotations

from pathlib import Path

from apar.structure.config import DEFAULT, PAPER
from apar.tree import ParagraphTree
from tests.gold.score import drawings, score, texts


def test_what_is_drawn_are_trees(shared_data: Path) -> None:
    wanted = drawings()
    records = texts(shared_data, wanted)
    assert len(wanted) == len(records) == 204
    for one in wanted:
        ParagraphTree.from_forks(records[one["file"], one["id"]]["response"], map(tuple, one["forks"])).check()


def test_precision_and_recall_of_fork_points(shared_data: Path) -> None:
    ours, papers = (score(shared_data, config)["all"] for config in (DEFAULT, PAPER))
    assert (ours.answers, ours.drawn) == (204, 551)
    assert ours.precision >= 0.94
    assert ours.recall >= 0.9
    assert ours.ends >= 0.98 * ours.both
    assert ours.precision > papers.precision + 0.15
    assert ours.recall > papers.recall + 0.3
