from __future__ import annotations

import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from apar.events import Event, Finished, Forked, replay
from apar.tree import Node, ParagraphTree
from apar.view.board import Board
from tests.trees import delta, encoded, started

ROOT = (0,)


def list_of(items: int, detail: str) -> ParagraphTree:
    node = Node("")
    for number in range(items, 0, -1):
        node = Node(f"\n{number}. Lead {number}:", Node(detail), node)
    return encoded(ParagraphTree(node if items else Node(detail)))


def frame(board: Board, width: int = 80, height: int = 24) -> str:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True)
    console.print(board)
    assert isinstance(console.file, io.StringIO)
    return re.sub(r"\x1b\[[0-9;]*m", "", console.file.getvalue())


def board_of(tree: ParagraphTree, until: int = 10**9, width: int = 80, height: int = 24) -> Board:
    """The board at the end of a step, having been drawn after every event."""
    board = Board()
    for event in replay(tree):
        if event.step > until:
            break
        board.add(event)
        frame(board, width, height)
    return board


@pytest.mark.parametrize(("width", "height"), [(80, 24), (160, 50), (40, 12), (20, 6), (10, 3)])
@pytest.mark.parametrize("threads", [1, 4, 12])
def test_a_frame_fits_the_terminal_at_every_step(width: int, height: int, threads: int) -> None:
    board = Board()
    for number, event in enumerate(replay(list_of(threads - 1, " some words of detail, 一些细节," * 4))):
        board.add(event)
        if number % 7 == 0:
            lines = frame(board, width, height).splitlines()
            assert max(map(cell_len, lines)) <= width
            assert len(lines) <= max(height - 1, 4)


def test_one_thread_has_the_whole_width_and_four_share_it() -> None:
    one = frame(board_of(list_of(3, "detail"), until=5))
    assert one.count("╭") == 1
    assert "0 answer" in one
    four = frame(board_of(list_of(3, " a detail that takes its time" * 2), until=40))
    assert four.count("╭") == 4
    assert [four.index(label) for label in ("0 answer", "0.0 1. Lead 1:", "0.1 2. Lead 2:", "0.2 3. Lead 3:")]


def test_the_header_counts_steps_threads_and_tokens() -> None:
    events: list[Event] = [
        started(ROOT, 0), delta(ROOT, 0, "a"), delta(ROOT, 1, "b"), Forked(ROOT, (0, 0), 2),
        started((0, 0), 3), delta((0, 0), 3, "x"), delta(ROOT, 3, "c"), Finished(ROOT, 4, "eos"),
        delta((0, 0), 4, "y"),
    ]  # fmt: skip
    board = Board(title="in parallel")
    assert frame(board).startswith("in parallel · step 0 · 0 of 0 threads")
    for event in events:
        board.add(event)
    assert frame(board).startswith("in parallel · step 5 · 1 of 2 threads · 5 tokens · 1.0 tokens per step")


def test_what_came_of_drafts_is_told_of_threads_that_have_finished() -> None:
    board = Board()
    for event in [started(ROOT, 0), delta(ROOT, 0, "a"), Forked(ROOT, (0, 0), 1), started((0, 0), 2)]:
        board.add(event)
    frame(board, width=120)  # gives both threads a place
    board.add(Finished(ROOT, 3, "eos", 9, 2))
    shown = frame(board, width=120)
    assert "tokens per step · 22 % of 9 draft tokens right" in shown.splitlines()[0]
    assert shown.count("2 of 9 draft tokens") == 1
    board.add(Finished((0, 0), 3, "eos", 1, 1))
    assert "30 % of 10 draft tokens right" in frame(board, width=120)
    assert "draft" not in frame(board_of(list_of(2, "detail")))


def test_a_panel_names_the_children_that_go_on_elsewhere() -> None:
    assert "1. Lead 1: ▸0.0" in frame(board_of(list_of(2, "detail")))


def test_a_long_text_shows_its_end() -> None:
    board = Board()
    board.add(started(ROOT, 0))
    for k in range(500):
        board.add(delta(ROOT, k, f"word{k} "))
    shown = frame(board)
    assert "word499" in shown
    assert "word0 " not in shown
    assert len(shown.splitlines()) <= 23


def test_a_new_thread_takes_the_place_of_one_that_has_finished_and_no_other_moves() -> None:
    board = Board()
    board.add(started(ROOT, 0))
    for k in range(12):
        board.add(delta(ROOT, 2 * k, f"lead{k}"))
        board.add(Forked(ROOT, (0, k), 2 * k + 1))
        board.add(started((0, k), 2 * k + 2))
        if k == 10:
            before = _labels(frame(board))
            board.add(Finished((0, 4), 23, "eos"))
    after = _labels(frame(board))
    assert len(before) == len(after) == 12
    assert [(old, new) for old, new in zip(before, after, strict=True) if old != new] == [("0.4", "0.11")]


def test_threads_for_which_there_is_no_room_are_counted() -> None:
    board = Board()
    board.add(started(ROOT, 0))
    for k in range(14):
        board.add(delta(ROOT, 2 * k, f"lead{k}"))
        board.add(Forked(ROOT, (0, k), 2 * k + 1))
        board.add(started((0, k), 2 * k + 2))
    shown = frame(board)
    assert "15 of 15 threads" in shown
    assert "3 not shown" in shown


def test_a_terminal_that_becomes_smaller_keeps_the_threads_that_are_decoding() -> None:
    board = Board()
    board.add(started(ROOT, 0))
    for k in range(5):
        board.add(delta(ROOT, 2 * k, f"lead{k}"))
        board.add(Forked(ROOT, (0, k), 2 * k + 1))
        board.add(started((0, k), 2 * k + 2))
    frame(board)
    for k in range(3):
        board.add(Finished((0, k), 20, "eos"))
    assert _labels(frame(board, width=30, height=18)) == ["0", "0.3", "0.4"]


def test_text_cannot_steer_the_terminal_and_is_no_markup() -> None:
    board = Board()
    board.add(started(ROOT, 0))
    board.add(delta(ROOT, 0, "[red]\x1b[2Jhi\x07[/red]"))
    console = Console(file=io.StringIO(), width=80, height=24, force_terminal=True)
    console.print(board)
    assert isinstance(console.file, io.StringIO)
    assert "\x1b[2J" not in console.file.getvalue()
    assert "[red]\ufffd[2Jhi\ufffd[/red]" in frame(board)


def _labels(shown: str) -> list[str]:
    return re.findall(r"╭─ ([\d.]+) ", shown)
