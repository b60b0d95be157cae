"""The page by keyboard alone, by its names, in narrow windows, in the dark and without motion."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.server.page.answers import LIST, events_of, flat
from tests.server.page.fake import FakeServer, Reply, chunks
from tests.server.page.view import View

CHUNKS = chunks(events_of(LIST))


def compared(view: View, server: FakeServer) -> None:
    server.will(Reply(CHUNKS), Reply(chunks(flat(LIST))))
    view.page.get_by_label("Compare with sequential").check()
    view.ask("How can I save water?")
    view.has_ended("Sequential")


def focused(page: Page) -> dict[str, Any]:
    """What has the focus, and how it is drawn."""
    told: dict[str, Any] = page.evaluate(
        """() => { const one = document.activeElement; const style = getComputedStyle(one); return {
        tag: one.tagName, id: one.id, text: one.textContent.trim(), thread: one.dataset.thread ?? null,
        name: one.getAttribute("aria-label"), width: style.outlineWidth, line: style.outlineStyle }; }"""
    )
    return told


def test_everything_can_be_done_by_keyboard(view: View, server: FakeServer) -> None:
    keyboard = view.page.keyboard
    server.will(Reply(CHUNKS), Reply(chunks(flat(LIST))))
    expect(view.page.get_by_label("Question")).to_be_focused()
    keyboard.type("One")
    keyboard.press("Shift+Enter")
    keyboard.type("two?")
    keyboard.press("Enter")
    view.has_ended()
    assert server.requests[0]["messages"][0]["content"] == "One\ntwo?"
    reached = []
    for _ in range(40):
        keyboard.press("Tab")
        now = focused(view.page)
        if now["tag"] == "BODY":
            break
        assert now["line"] != "none", f"the focus is not seen on {now}"
        assert now["width"] != "0px"
        reached.append(now["id"] or now["name"] or now["text"])
    for wanted in ("send", "also", "open", "play", "position", "speed", "compare", "Save trace", "Answer, Parallel"):
        assert wanted in reached
    assert sum(name.startswith("thread ") for name in reached) == 1, "the timeline is one stop"
    view.button("Compare with sequential").focus()
    keyboard.press("Space")
    view.has_ended("Sequential")


def test_ctrl_and_enter_ask_and_escape_stops(view: View, server: FakeServer) -> None:
    reply = server.will(Reply(CHUNKS, held=True))
    view.page.keyboard.type("How?")
    view.page.keyboard.press("Control+Enter")
    expect(view.button("Stop Esc")).to_be_visible()
    reply.upto(9)
    expect(view.figure("steps")).not_to_have_text("0")
    view.page.keyboard.press("Escape")
    expect(view.state()).to_have_text("stopped")


def test_arrow_keys_walk_through_the_threads_in_both_views(view: View, server: FakeServer) -> None:
    server.will(Reply(CHUNKS))
    view.ask("How?")
    view.has_ended()
    keyboard = view.page.keyboard
    rows = view.timeline().get_by_role("button")
    rows.first.focus()
    for key in ("0.0", "0.1", "0.1.0", "0.2", "0.2"):
        keyboard.press("ArrowDown")
        assert focused(view.page)["thread"] == key
        expect(view.thread(key)).to_contain_class("chosen")
    expect(view.document().locator(".chosen")).to_have_count(1)
    keyboard.press("Enter")
    assert focused(view.page)["name"] == "detail, thread 0.2"
    keyboard.press("ArrowLeft")
    assert focused(view.page)["thread"] == "0.1.0"
    expect(view.timeline().locator("button.chosen")).to_have_attribute("data-thread", "0.1.0")
    keyboard.press("Enter")
    now = focused(view.page)
    assert (now["tag"], now["thread"]) == ("BUTTON", "0.1.0")
    view.document().focus()
    keyboard.press("ArrowRight")
    assert focused(view.page)["thread"] == "0.0"


def test_pointing_at_a_thread_marks_it_in_the_other_view(view: View, server: FakeServer) -> None:
    server.will(Reply(CHUNKS))
    view.ask("How?")
    view.has_ended()
    view.thread("0.1.0").hover()
    expect(view.timeline().locator("button.chosen")).to_have_attribute("data-thread", "0.1.0")
    view.timeline().locator("button[data-thread='0.2']").hover()
    expect(view.document().locator(".chosen")).to_have_attribute("data-thread", "0.2")
    view.page.get_by_role("heading", name="APAR").hover()
    expect(view.page.locator(".chosen")).to_have_count(0)


def test_a_click_in_the_text_does_not_lead_away_from_it(view: View, server: FakeServer) -> None:
    view.page.set_viewport_size({"width": 360, "height": 500})
    server.will(Reply(CHUNKS))
    view.ask("How?")
    view.has_ended()
    view.thread("0.2").scroll_into_view_if_needed()
    before = view.page.evaluate("scrollY")
    view.thread("0.2").click()
    assert focused(view.page)["tag"] == "BUTTON"
    assert view.page.evaluate("scrollY") == before > 0
    view.page.keyboard.press("Enter")
    assert focused(view.page)["name"] == "detail, thread 0.2"


def test_assistive_technology_is_told_names_and_summaries(view: View, server: FakeServer) -> None:
    reply = server.will(Reply(CHUNKS, held=True))
    said = view.page.get_by_role("status")
    view.ask("How?")
    expect(said).to_have_text("Parallel: asked")
    reply.upto(20)
    expect(view.figure("steps")).not_to_have_text("0")
    expect(said).to_have_text("Parallel: asked")
    reply.finish()
    expect(said).to_contain_text("Parallel: complete. 49 tokens, 25 steps, 5 threads")
    assert view.page.locator("[aria-live], [role=status], [role=alert], output").count() == 2
    nameless = view.page.evaluate(
        """() => [...document.querySelectorAll("button, input, textarea, a, [role=region], [role=group], nav, form")]
        .filter((one) => one.checkVisibility() && !(one.ariaLabel || one.labels?.length || one.textContent.trim()
          || one.getAttribute("aria-labelledby"))).map((one) => one.outerHTML)"""
    )
    assert nameless == []
    for role, name in [
        ("form", "Ask"),
        ("region", "How?"),
        ("region", "Parallel"),
        ("region", "Threads over steps, Parallel"),
        ("region", "Answer, Parallel"),
        ("group", "detail, thread 0.1"),
        ("slider", "Position"),
        ("slider", "Speed"),
        ("navigation", "Asked before"),
    ]:
        expect(view.page.get_by_role(role, name=name, exact=True)).to_be_visible()  # type: ignore[arg-type]
    expect(view.page.get_by_label("Position")).to_have_attribute("aria-valuetext", "step 25 of 25")


@pytest.mark.parametrize("width", [360, 761, 1920])
def test_no_window_needs_to_be_scrolled_sideways(view: View, server: FakeServer, width: int) -> None:
    view.page.set_viewport_size({"width": width, "height": 740})
    assert not overflows(view.page)
    compared(view, server)
    view.page.get_by_text("Settings").click()
    assert not overflows(view.page)
    left, right = (view.panel(title).bounding_box() for title in ("Parallel", "Sequential"))
    assert left
    assert right
    assert (left["y"] < right["y"]) is (width == 360), "columns are stacked where there is no room for two"


def test_words_without_end_do_not_widen_the_page(view: View, server: FakeServer) -> None:
    from apar.events import replay
    from apar.tree import Node, ParagraphTree

    word = "w" * 900
    view.page.set_viewport_size({"width": 360, "height": 740})
    server.will(Reply(chunks(replay(ParagraphTree(Node(word, Node(word), Node(word)))))))
    view.ask(word)
    view.has_ended()
    assert not overflows(view.page)


def overflows(page: Page) -> bool:
    told: bool = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    return told


def lightness(page: Page, selector: str, of: str) -> float:
    """The mean of a colour's channels as it is drawn, from 0 to 255."""
    told: float = page.locator(selector).first.evaluate(
        """(element, of) => { const canvas = new OffscreenCanvas(1, 1).getContext("2d");
        canvas.fillStyle = getComputedStyle(element)[of]; canvas.fillRect(0, 0, 1, 1);
        const [red, green, blue] = canvas.getImageData(0, 0, 1, 1).data; return (red + green + blue) / 3; }""",
        of,
    )
    return told


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_follows_the_scheme_of_the_system(view: View, server: FakeServer, scheme: Any) -> None:
    view.page.emulate_media(color_scheme=scheme)
    server.will(Reply(CHUNKS))
    view.ask("How?")
    view.has_ended()
    for selector in (".panel", ".document [data-thread='0.1']"):
        paper = lightness(view.page, selector, "backgroundColor")
        ink = lightness(view.page, selector, "color")
        assert (paper > 200 > 80 > ink) if scheme == "light" else (paper < 80 < 200 < ink)


def test_nothing_moves_where_motion_is_unwanted(browser: Browser, server: FakeServer) -> None:
    for wanted in ("reduce", "no-preference"):
        context = browser.new_context(reduced_motion=wanted)  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(server.url)
        view = View(page)
        server.requests.clear()
        server.replies = [Reply(CHUNKS, held=True)]
        view.ask("How?")
        server.replies[0].upto(5)
        expect(view.figure("steps")).not_to_have_text("0")
        moves = page.evaluate("document.getAnimations().length")
        assert moves == (0 if wanted == "reduce" else 1)
        context.close()
