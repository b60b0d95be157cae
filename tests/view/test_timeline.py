from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apar.errors import TreeError
from apar.events import Event, Finished, Forked, replay
from apar.tree import Node, ParagraphTree
from apar.view.timeline import WIDTH, draw
from tests.scripted import LIST
from tests.trees import delta, encoded, started, trees

SVG = "{http://www.w3.org/2000/svg}"


def bars(picture: str) -> list[ElementTree.Element]:
    return [rect for rect in ElementTree.fromstring(picture).iter(f"{SVG}rect") if rect.find(f"{SVG}title") is not None]


def texts(picture: str) -> list[str]:
    return [text.text or "" for text in ElementTree.fromstring(picture).iter(f"{SVG}text")]


@given(trees(), st.booleans())
def test_every_thread_is_a_bar_inside_the_picture(tree: ParagraphTree, with_ids: bool) -> None:
    picture = draw(replay(encoded(tree) if with_ids else tree), title="A & B")
    drawn = bars(picture)
    assert len(drawn) == tree.num_threads
    for bar in drawn:
        x, width = float(bar.attrib["x"]), float(bar.attrib["width"])
        assert x >= 0
        assert width > 0
        assert x + width <= WIDTH
    arrows = list(ElementTree.fromstring(picture).iter(f"{SVG}path"))
    assert len(arrows) == 2 * tree.num_forks


def test_rows_are_in_reading_order_labelled_with_path_and_lead_and_end_in_their_tokens() -> None:
    shown = texts(draw(replay(encoded(LIST))))
    rows = [text for text in shown if text.startswith("0") and text != "0"]
    assert rows == ["0  answer", "0.0  1. Rest:", "0.1  2. Walk:"]
    for thread in LIST.threads():
        assert str(sum(len(node.text) for node in thread.nodes)) in shown


def test_the_totals_are_on_one_line() -> None:
    events = list(replay(encoded(LIST)))
    steps = max(event.step for event in events) + 1
    assert f"{len(LIST.text)} tokens in {steps} steps, 3 threads" in texts(draw(events))
    assert "1 token in 2 steps, 1 thread" in texts(draw(replay(ParagraphTree.leaf("hi"))))


def test_a_bar_begins_and_ends_with_its_thread() -> None:
    events: list[Event] = [
        started((0,), 0),
        delta((0,), 0, "a"),
        Forked((0,), (0, 0), 1),
        started((0, 0), 2),
        delta((0, 0), 2, "x"),
        Finished((0,), 2, "eos"),
        Finished((0, 0), 3, "eos"),
    ]
    root, child = bars(draw(events))
    start, end = (float(root.attrib["x"]), float(root.attrib["x"]) + float(root.attrib["width"]))
    step = (end - start) / 3
    assert float(child.attrib["x"]) == pytest.approx(start + 2 * step, abs=0.1)
    assert float(child.attrib["width"]) == pytest.approx(2 * step, abs=0.1)
    assert child.attrib["y"] > root.attrib["y"]


def test_what_a_model_wrote_is_escaped() -> None:
    tree = ParagraphTree(Node('1. <script> & "x" \x1b\x00:', Node("detail"), Node("")))
    picture = draw(replay(tree), title="<b>&'\"\ud800")
    assert '0.0  1. <script> & "x" \ufffd\ufffd:' in texts(picture)
    assert "<b>&'\"\ufffd" in texts(picture)
    assert "<script" not in picture
    picture.encode("utf-8")


def test_the_picture_follows_the_colour_scheme_and_runs_nothing() -> None:
    picture = draw(replay(LIST))
    assert "prefers-color-scheme: dark" in picture
    assert "<script" not in picture
    assert "href" not in picture


def test_a_thread_that_was_cut_is_marked_and_its_fork_without_child_has_no_arrow() -> None:
    events: list[Event] = [
        started((0,), 0),
        delta((0,), 0, "a"),
        Forked((0,), (0, 0), 1),
        Finished((0,), 1, "length"),
    ]
    picture = draw(events)
    assert "cut" in bars(picture)[0].attrib["class"].split()
    assert list(ElementTree.fromstring(picture).iter(f"{SVG}path")) == []
    assert "cut" not in bars(draw(replay(LIST)))[0].attrib["class"].split()


def test_what_came_of_drafts_is_told_of_each_thread_and_of_all() -> None:
    events: list[Event] = [
        started((0,), 0), delta((0,), 0, "a"), Forked((0,), (0, 0), 1), started((0, 0), 2), delta((0, 0), 2, "x"),
        Finished((0,), 2, "eos", 8, 2), Finished((0, 0), 3, "eos"),
    ]  # fmt: skip
    picture = draw(events)
    assert "2 tokens in 4 steps, 2 threads, 25 % of 8 draft tokens right" in texts(picture)
    root, child = [bar.find(f"{SVG}title").text for bar in bars(picture)]
    assert root.endswith("ended by eos, 25 % of 8 draft tokens right")
    assert child.endswith("ended by eos")
    assert "draft" not in draw(replay(LIST))


def test_a_long_answer_has_few_marks_on_its_axis() -> None:
    shown = texts(draw(replay(ParagraphTree.leaf("word " * 3000))))
    marks = [text for text in shown if text.isdigit()]
    assert 3 <= len(marks) <= 12


def test_no_events_make_no_picture() -> None:
    with pytest.raises(TreeError, match="never started"):
        draw([])
