"""Markup in questions, answers, errors, traces and names stays text, and nothing of it runs."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, expect

from apar.events import replay
from apar.tree import Node, ParagraphTree
from tests.server.page.answers import HOSTILE
from tests.server.page.fake import FakeServer, Reply, chunks, piece, refusal
from tests.server.page.view import View, write_lines

TREE = ParagraphTree(Node(f"{HOSTILE}\n1. {HOSTILE}:", Node(HOSTILE), Node(HOSTILE)))


def nothing_was_made_of_it(page: Page) -> None:
    assert page.locator("img, script:not([src]), main script").count() == 0


def test_a_hostile_answer_to_a_hostile_question_by_a_hostile_model_is_text(page: Page, server: FakeServer) -> None:
    server.version = {"version": HOSTILE, "backend": HOSTILE, "model": HOSTILE}
    page.goto(server.url)
    view = View(page)
    server.will(Reply(chunks(replay(TREE))))
    expect(page.locator("#server")).to_contain_text("<img src=x onerror=alert(1)>")
    view.ask(HOSTILE)
    view.has_ended()
    assert view.text() == TREE.text
    assert page.locator("#question").text_content() == HOSTILE
    assert server.requests[0]["model"] == HOSTILE
    expect(page.get_by_role("navigation", name="Asked before").get_by_role("button")).to_contain_text("<script>")
    nothing_was_made_of_it(page)


def test_hostile_errors_are_text(view: View, server: FakeServer) -> None:
    failed = piece({"error": {"message": HOSTILE}})
    server.will(refusal(400, HOSTILE), Reply([failed]), refusal(401, HOSTILE))
    for _ in server.replies:
        view.ask("How?")
        expect(view.problem).to_contain_text("<img src=x onerror=alert(1)>")
        nothing_was_made_of_it(view.page)


def test_a_hostile_health_is_text(page: Page, server: FakeServer) -> None:
    server.health = (503, {"status": HOSTILE, "reason": HOSTILE})
    page.goto(server.url)
    expect(page.locator("#server")).to_contain_text("<img src=x onerror=alert(1)>")
    nothing_was_made_of_it(page)


def test_a_hostile_trace_is_text(view: View, tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(3)>.jsonl"
    view.open_trace(write_lines(tmp_path / name, list(replay(TREE))))
    view.page.keyboard.press("Escape")
    view.page.get_by_label("Position").fill(str(max(event.step for event in replay(TREE))))
    expect(view.page.get_by_role("heading", name=name)).to_be_visible()
    assert view.text("Trace") == TREE.text
    (tmp_path / name).write_text("{}")
    view.open_trace(tmp_path / name)
    expect(view.problem).to_contain_text(name)
    nothing_was_made_of_it(view.page)


def test_text_that_changes_direction_stays_in_its_thread(view: View, server: FakeServer) -> None:
    tree = ParagraphTree(Node("a\u202eb\u2067c\r\n\x00\x07:", Node(" \u05d0\u05d1\u05d2 \u202e"), Node("end")))
    server.will(Reply(chunks(replay(tree))))
    view.ask("How?")
    view.has_ended()
    assert view.text() == tree.text
    assert view.thread("0.0").evaluate("element => getComputedStyle(element).unicodeBidi") == "isolate"
