"""A question is asked, and each detail of its answer appears in its place while it is decoded."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from playwright.sync_api import Page, expect

from apar.assemble import Assembler
from apar.events import Delta, Event, Finished, Forked
from tests.server.page.answers import LIST, events_of, flat, with_drafts
from tests.server.page.fake import FakeServer, Reply, chunks
from tests.server.page.view import View

EVENTS = events_of(LIST)


def upto(events: list[Event], step: int) -> int:
    """The chunks of an answer up to the end of a step: that of the role comes first."""
    return 1 + sum(event.step <= step for event in events)


def key(event: Event) -> str:
    return ".".join(map(str, event.thread))


def test_an_answer_is_the_text_of_the_stream_to_the_letter(view: View, server: FakeServer) -> None:
    server.will(Reply(chunks(EVENTS)))
    view.ask("How can I save water?")
    view.has_ended()
    assert view.text() == LIST.text


def test_each_detail_streams_in_its_place_while_others_are_open(view: View, server: FakeServer) -> None:
    reply = server.will(Reply(chunks(EVENTS), held=True))
    view.ask("How can I save water?")
    [_, second, _] = [event for event in EVENTS if isinstance(event, Forked) and event.thread == (0,)]
    reply.upto(upto(EVENTS, second.step + 3))
    expect(view.thread("0.1")).to_have_text(" Find them at", use_inner_text=False)
    first = view.thread("0.0").evaluate("element => element.textContent")
    assert " Take shorter ones, and close".startswith(first[:20])
    assert len(first) < len(" Take shorter ones, and close the tap while you soap.\n   Two minutes are worth a bucket.")
    assert view.text() == (
        "Some ways to save water:\n\n1. **Showers**:" + first + "\n\n2. **Leaks**: Find them at\n\n3. **Rain**:"
    )
    assert view.document().locator(".live").count() == 3
    expect(view.figure("threads")).to_have_text("3 / 3")
    reply.finish()
    view.has_ended()
    assert view.text() == LIST.text
    assert view.document().locator(".live").count() == 0


def test_the_document_never_has_text_that_was_not_sent(view: View, server: FakeServer) -> None:
    reply = server.will(Reply(chunks(EVENTS), held=True))
    view.ask("How can I save water?")
    for step in range(EVENTS[-1].step):
        reply.upto(upto(EVENTS, step))
        sent = [event for event in EVENTS if event.step <= step]
        told = Assembler()
        for event in sent:
            told.feed(event)
        expect(view.figure("tokens")).to_have_text(str(sum(isinstance(event, Delta) for event in sent)))
        told.end()
        assert view.text() == told.text


def test_the_timeline_grows_with_a_row_for_each_thread(view: View, server: FakeServer) -> None:
    reply = server.will(Reply(chunks(EVENTS), held=True))
    view.ask("How can I save water?")
    rows = view.timeline().get_by_role("button")
    first = next(event for event in EVENTS if isinstance(event, Forked))
    reply.upto(upto(EVENTS, first.step))
    expect(rows).to_have_count(1)
    bar = view.timeline().locator("rect[data-thread='0']")
    before = float(bar.get_attribute("width") or 0)
    reply.upto(upto(EVENTS, first.step + 2))
    expect(rows).to_have_count(2)
    name = f"thread 0.0, 1. Showers: steps {first.step + 1} to {first.step + 2}, 2 tokens, being decoded"
    expect(rows.nth(1)).to_have_accessible_name(name)
    assert float(bar.get_attribute("width") or 0) > before
    reply.finish()
    view.has_ended()
    keys = rows.evaluate_all("rows => rows.map(row => row.dataset.thread)")
    assert keys == ["0", "0.0", "0.1", "0.1.0", "0.2"]
    assert view.timeline().locator("line.mark").count() == 4
    assert view.timeline().locator("path.fork").count() == 4


def test_the_figures_are_those_of_the_answer(view: View, server: FakeServer) -> None:
    server.will(Reply(chunks(EVENTS, metrics={"kv_blocks_peak": 23})))
    view.ask("How can I save water?")
    view.has_ended()
    tokens = sum(isinstance(event, Delta) for event in EVENTS)
    steps = EVENTS[-1].step + 1
    for name, value in {
        "threads": "5",
        "forks": "4",
        "tokens": str(tokens),
        "steps": str(steps),
        "tokens/step": f"{tokens / steps:.2f}",
        "KV blocks": "23",
    }.items():
        expect(view.figure(name)).to_have_text(value)
    for name in ("time", "first text"):
        expect(view.figure(name)).to_have_text(re.compile(r"^\d+\.\d+ s$"))


def test_drafts_are_told_of_each_thread_and_of_the_answer(view: View, server: FakeServer) -> None:
    drafted = with_drafts(EVENTS, (1200, 30), (0, 0), (1, 1))
    reply = server.will(Reply(chunks(drafted, metrics={"tokens_per_pass": 3.456}), held=True))
    view.ask("How can I save water?")
    first, _, third = [event for event in drafted if isinstance(event, Finished)][:3]
    reply.upto(upto(EVENTS, first.step - 1))
    expect(view.figure("steps")).to_have_text(str(first.step))
    for name in ("tokens/pass", "drafts right"):
        expect(view.figure(name)).to_have_text("–")
    reply.finish()
    view.has_ended()
    expect(view.figure("tokens/pass")).to_have_text("3.46")
    expect(view.figure("drafts right")).to_have_text("3 %")
    for event, told in ((first, "30 of 1,200 draft tokens right"), (third, "1 of 1 draft token right")):
        row = view.timeline().get_by_role("button").and_(view.page.locator(f"[data-thread='{key(event)}']"))
        expect(row).to_have_accessible_name(re.compile(rf"ended, {told}$"))
        expect(row).to_have_attribute("title", re.compile(rf"ended, {told}$"))
    assert view.timeline().get_by_role("button", name="draft").count() == 2


def test_figures_that_the_engine_does_not_know_are_a_dash(view: View, server: FakeServer) -> None:
    server.will(Reply(chunks(EVENTS, metrics={"kv_blocks_peak": None, "tokens_per_pass": None})))
    view.ask("How can I save water?")
    view.has_ended()
    for name in ("KV blocks", "tokens/pass", "drafts right"):
        expect(view.figure(name)).to_have_text("–")


def test_the_request_asks_for_threads_with_the_settings_that_are_given(view: View, server: FakeServer) -> None:
    server.will(Reply(chunks(EVENTS)))
    view.set(max_tokens=77, temperature=0.5, seed=4, max_threads=6, max_depth=2)
    view.ask(" How?\nWhy?")
    view.has_ended()
    assert server.requests == [
        {
            "path": "/v1/chat/completions",
            "key": None,
            "model": "demo",
            "messages": [{"role": "user", "content": " How?\nWhy?"}],
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": 77,
            "temperature": 0.5,
            "seed": 4,
            "apar": {"stream": "threads", "metrics": True, "max_threads": 6, "max_depth": 2},
        }
    ]


def test_settings_that_are_empty_are_left_to_the_server(view: View, server: FakeServer) -> None:
    server.will(Reply(chunks(EVENTS)))
    view.page.get_by_text("Settings").click()
    for name in ("max_tokens", "temperature"):
        view.page.locator(f"#{name}").fill("")
    view.ask("How?")
    view.has_ended()
    [request] = server.requests
    assert {"max_tokens", "temperature"}.isdisjoint(request)
    assert request["apar"] == {"stream": "threads", "metrics": True}


def test_a_setting_out_of_range_is_pointed_at_and_nothing_is_asked(view: View, server: FakeServer) -> None:
    view.set(max_tokens=0)
    view.page.get_by_text("Settings").click()
    view.ask("How?")
    expect(view.page.locator("#max_tokens")).to_be_focused()
    assert server.requests == []


def test_a_question_of_white_space_is_not_asked(view: View, server: FakeServer) -> None:
    view.ask(" \n ")
    expect(view.page.get_by_label("Question")).to_be_focused()
    assert server.requests == []


def test_an_example_is_asked_by_a_click(view: View, server: FakeServer) -> None:
    server.will(Reply(chunks(EVENTS)))
    view.button("What are some ways to save water at home?").click()
    view.has_ended()
    assert server.requests[0]["messages"][0]["content"] == "What are some ways to save water at home?"


def test_stop_ends_the_request_and_leaves_what_has_come(view: View, server: FakeServer) -> None:
    reply = server.will(Reply(chunks(EVENTS), held=True))
    view.ask("How?")
    reply.upto(12)
    expect(view.figure("steps")).not_to_have_text("0")
    view.button("Stop Esc").click()
    expect(view.state()).to_have_text("stopped")
    assert reply.gone.wait(30), "the server was left answering"
    assert LIST.text.startswith(view.text()[:20])
    expect(view.button("Ask")).to_be_enabled()
    expect(view.page.get_by_role("button", name="Compare with sequential")).to_be_hidden()


def test_an_answer_that_was_cut_by_its_limit_says_so(view: View, server: FakeServer) -> None:
    server.will(Reply(chunks(EVENTS[:20], finish="length")))
    view.ask("How?")
    expect(view.state()).to_have_text("cut by max. tokens")


def test_questions_of_this_visit_can_be_shown_again(view: View, server: FakeServer) -> None:
    server.will(Reply(chunks(EVENTS)), Reply(chunks(EVENTS[:12])))
    view.ask("First?")
    view.has_ended()
    view.ask("Second?")
    expect(view.page.get_by_role("heading", name="Second?")).to_be_visible()
    view.has_ended()
    view.page.get_by_role("navigation", name="Asked before").get_by_role("button", name="First?").click()
    expect(view.page.get_by_role("heading", name="First?")).to_be_visible()
    expect(view.figure("forks")).to_have_text("4")
    assert view.text() == LIST.text
    assert len(server.requests) == 2


def test_five_thousand_tokens_are_drawn_in_far_fewer_frames(view: View, server: FakeServer, page: Page) -> None:
    from apar.events import replay
    from apar.tree import Node, ParagraphTree

    node = Node("End.")
    for number in range(25, 0, -1):
        node = Node(f"\n{number}. Lead:", Node(" word" * 200), node)
    tree = ParagraphTree(node)
    page.evaluate(
        """() => { window.writes = 0; const one = Text.prototype.appendData;
        Text.prototype.appendData = function (text) { window.writes += 1; return one.call(this, text); }; }"""
    )
    server.will(Reply([b"".join(chunks(replay(tree)))]))
    view.ask("Much?")
    view.has_ended()
    assert view.text() == tree.text
    assert page.evaluate("window.writes") < 2500


def test_what_forks_is_a_setting(view: View, server: FakeServer) -> None:
    server.will(Reply(chunks(EVENTS)), Reply(chunks(EVENTS)))
    view.set(max_items=3)
    view.page.get_by_label("Forks by").select_option("rules")
    view.ask("How?")
    view.has_ended()
    assert server.requests[0]["apar"] == {"stream": "threads", "metrics": True, "fork": "rules", "max_items": 3}
    view.button("Compare with sequential").click()
    view.has_ended("Sequential")
    assert server.requests[1]["apar"] == {**server.requests[0]["apar"], "max_parallel_threads": 1}


def refused(events: list[Event], reasons: dict[str, int]) -> list[Event]:
    """The events, with the leads behind which the first thread that ends did not fork."""
    first = next(event for event in events if isinstance(event, Finished))
    return [replace(event, not_forked=reasons) if event is first else event for event in events]  # type: ignore[type-var]


def test_why_a_lead_did_not_fork_is_told_at_the_end(view: View, server: FakeServer) -> None:
    events = refused(EVENTS, {"short_lines": 1, "limits": 12})
    reply = server.will(Reply(chunks(events, metrics={"fork": "rules"}), held=True))
    view.ask("How?")
    reply.upto(-3)
    why = view.panel().locator(".why")
    expect(view.figure("threads")).to_have_text("0 / 5")
    expect(why).to_be_hidden()
    reply.finish()
    view.has_ended()
    expect(why).to_have_text("13 leads did not fork: limits 12, short lines.")


@pytest.mark.parametrize(
    ("fork", "told"),
    [
        ("rules", "There was no item of a list to fork at."),
        ("off", "Nothing forks here. By rules any model can: see the settings."),
        ("model", ""),
    ],
)
def test_why_an_answer_stayed_sequential_is_told(view: View, server: FakeServer, fork: str, told: str) -> None:
    server.will(Reply(chunks(flat(LIST), metrics={"fork": fork})))
    view.ask("How?")
    view.has_ended()
    why = view.panel().locator(".why")
    expect(why).to_have_text(told)
    expect(why).to_be_visible(visible=bool(told))


def test_where_every_lead_forked_nothing_is_told(view: View, server: FakeServer) -> None:
    server.will(Reply(chunks(EVENTS, metrics={"fork": "rules"})))
    view.ask("How?")
    view.has_ended()
    expect(view.panel().locator(".why")).to_be_hidden()
