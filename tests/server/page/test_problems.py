"""Whatever goes wrong is told, with what can be done about it; the page is never blank."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.server.page.answers import LIST, events_of
from tests.server.page.fake import FakeServer, Reply, chunks, piece, refusal
from tests.server.page.view import View

CHUNKS = chunks(events_of(LIST))


def whole() -> Reply:
    return Reply(CHUNKS)


def test_a_key_is_asked_for_only_where_the_server_wants_one_and_kept_for_the_tab(
    view: View, server: FakeServer, page: Page
) -> None:
    expect(page.get_by_label("API key")).to_have_count(0)
    server.will(refusal(401, "Give an API key."), refusal(401, "The key is wrong."), whole(), whole())
    view.ask("How?")
    expect(view.problem).to_contain_text("Give an API key.")
    expect(page.get_by_label("API key")).to_be_focused()
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(view.problem).to_contain_text("The key is wrong.")
    page.get_by_label("API key").fill("right")
    view.button("Use this key").click()
    view.has_ended()
    expect(view.problem).to_be_hidden()
    page.reload()
    view.ask("Again?")
    view.has_ended()
    assert [request["key"] for request in server.requests] == [None, "Bearer wrong", "Bearer right", "Bearer right"]
    assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]


def test_a_busy_server_is_asked_again_when_it_says(page: Page, server: FakeServer) -> None:
    page.clock.install()
    page.goto(server.url)
    view = View(page)
    server.will(refusal(429, "30 requests wait already.", **{"Retry-After": "7"}), whole())
    view.ask("How?")
    expect(view.problem).to_contain_text("30 requests wait already.")
    expect(view.problem).to_contain_text("Trying again in 7 s")
    page.clock.run_for(3000)
    expect(view.problem).to_contain_text("Trying again in")
    assert len(server.requests) == 1
    page.clock.run_for(5000)
    view.has_ended()
    expect(view.problem).to_be_hidden()
    assert server.requests[0] == server.requests[1]


def test_waiting_for_a_busy_server_can_be_cut_short_or_given_up(view: View, server: FakeServer) -> None:
    busy = {"Retry-After": "3000"}
    server.will(refusal(429, "Busy.", **busy), refusal(503, "Busy still.", **busy), whole())
    view.ask("How?")
    expect(view.problem).to_contain_text("The server is busy")
    view.button("Try now").click()
    expect(view.problem).to_contain_text("Busy still.")
    view.page.keyboard.press("Escape")
    expect(view.state()).to_have_text("stopped")
    expect(view.problem).to_be_hidden()
    assert len(server.requests) == 2


def test_a_server_that_loads_is_told_at_once_and_waited_for(page: Page, server: FakeServer) -> None:
    server.health = (503, {"status": "loading", "reason": "the model demo is being loaded"})
    page.clock.install()
    page.goto(server.url)
    view = View(page)
    expect(page.locator("#server")).to_have_text("loading: the model demo is being loaded")
    server.will(refusal(503, "the model demo is being loaded", **{"Retry-After": "2"}), whole())
    view.ask("How?")
    expect(view.problem).to_contain_text("The server is not ready")
    expect(view.problem).to_contain_text("the model demo is being loaded")
    server.health = (200, {"status": "ok"})
    page.clock.run_for(3000)
    view.has_ended()
    page.clock.run_for(3000)
    expect(page.locator("#server")).to_have_text("demo · local · version 1.2.3")


@pytest.mark.parametrize("status", [400, 404, 413, 500, 429])
def test_a_refusal_is_told_in_the_words_of_the_server(view: View, server: FakeServer, status: int) -> None:
    server.will(refusal(status, "max_tokens is too large: give at most 512."), whole())
    view.ask("How?")
    expect(view.problem).to_contain_text("max_tokens is too large: give at most 512.")
    expect(view.button("Ask")).to_be_enabled()
    view.button("Try again").click()
    view.has_ended()


def test_a_refusal_that_is_no_json_is_told_by_its_status(view: View, server: FakeServer) -> None:
    server.will(Reply([b"<h1>Bad gateway</h1>"], 502, {"Content-Type": "text/html"}))
    view.ask("How?")
    expect(view.problem).to_contain_text("The server failed")
    expect(view.problem).to_contain_text("It answered with status 502.")
    expect(view.state()).to_have_text("no answer")
    expect(view.button("Save trace")).to_be_hidden()


def test_an_error_in_the_stream_leaves_what_has_come(view: View, server: FakeServer) -> None:
    failed = piece({"error": {"message": "the engine has no blocks left", "type": "server_error"}})
    server.will(Reply([*CHUNKS[:15], failed]))
    view.ask("How?")
    expect(view.problem).to_contain_text("the engine has no blocks left")
    expect(view.state()).to_have_text("broken off")
    assert LIST.text.startswith(view.text()[:20])
    assert len(view.text()) > 20
    assert view.document().locator(".live").count() > 0, "threads that did not end are no complete ones"
    expect(view.panel()).to_have_attribute("data-open", "false")
    expect(view.timeline().get_by_role("button").first).to_have_accessible_name(re.compile("not ended$"))


@pytest.mark.parametrize("breaks", [True, False])
def test_a_stream_that_ends_early_is_not_taken_for_an_answer(view: View, server: FakeServer, breaks: bool) -> None:
    reply = server.will(Reply(CHUNKS[:-1], breaks=breaks, held=True), whole())
    view.page.get_by_label("Compare with sequential").check()
    view.ask("How?")
    reply.upto(9)
    expect(view.figure("steps")).not_to_have_text("0")
    reply.finish()
    expect(view.problem).to_contain_text("The connection ended before the answer was complete.")
    expect(view.state()).to_have_text("broken off")
    assert len(server.requests) == 1
    view.button("Try again").click()
    view.has_ended()


def with_event(event: dict[str, object]) -> bytes:
    return piece({"choices": [], "apar": {"events": [event]}})


@pytest.mark.parametrize(
    "data",
    [
        b"data: {not json\n\n",
        b"data: 7\n\n",
        with_event({"event": "delta", "thread": [0], "step": 9}),
        with_event({"event": "finished", "thread": [0, 4], "step": 9, "reason": "eos"}),
    ],
)
def test_what_is_no_part_of_an_answer_is_told(view: View, server: FakeServer, data: bytes) -> None:
    server.will(Reply([*CHUNKS[:8], data, *CHUNKS[8:]]))
    view.ask("How?")
    expect(view.problem).to_contain_text("The server sent something that is no part of an answer.")
    assert view.text()


def test_no_connection_is_told_and_the_question_can_be_sent_again(view: View, server: FakeServer) -> None:
    view.page.context.set_offline(True)
    view.ask("How?")
    expect(view.problem).to_contain_text("The server cannot be reached.")
    expect(view.page.get_by_label("Question")).to_have_value("How?")
    view.page.context.set_offline(False)
    server.will(whole())
    view.button("Try again").click()
    view.has_ended()


def test_a_new_question_ends_the_one_before(view: View, server: FakeServer) -> None:
    first = Reply(CHUNKS, held=True)
    server.will(first, whole())
    view.ask("First?")
    first.upto(9)
    expect(view.figure("steps")).not_to_have_text("0")
    view.button("Stop Esc").click()
    view.ask("Second?")
    view.has_ended()
    assert first.gone.wait(30)
    expect(view.problem).to_be_hidden()
