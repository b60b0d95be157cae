"""The page as our server serves it, over an engine whose passes a test can hold up."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, expect

from tests.engine.crowd import Crowd
from tests.server.page.conftest import watched
from tests.server.page.view import View
from tests.server.serving import Site, serving, wait_for

ENDED = re.compile("complete|cut by max. tokens")
Open = Callable[..., tuple[View, Site, Crowd]]


@pytest.fixture
def opened(browser: Browser) -> Iterator[Open]:
    """Opens the page of a server of its own."""
    with ExitStack() as stack:

        def start(held: bool = False, key: str | None = None) -> tuple[View, Site, Crowd]:
            crowd = stack.enter_context(Crowd(held=held))
            site = stack.enter_context(serving(lambda: crowd.llm, key=key))
            wait_for(lambda: site.health.status == "ok", "loaded")
            page = stack.enter_context(watched(browser, str(site.client.base_url)))
            page.goto(str(site.client.base_url))
            view = View(page)
            expect(page.locator("#server")).to_have_text("tiny · local · version 0.1.0")
            view.set(max_tokens=60)
            return view, site, crowd

        yield start


def test_the_document_is_the_answer_of_the_api(opened: Open) -> None:
    view, site, _ = opened()
    for word in ("a", "cac"):
        view.page.reload()  # or what the last answer has left could be taken for this one
        view.set(max_tokens=60)
        view.page.get_by_label("Compare with sequential").check()
        view.ask(word)
        expect(view.state("Sequential")).to_have_text(ENDED)
        for title, limit in (("Parallel", {}), ("Sequential", {"max_parallel_threads": 1})):
            asked = {"apar": {**limit, "metrics": True}, "max_tokens": 60, "temperature": 0}
            body = site.chat(word, **asked).json()
            assert view.text(title) == body["choices"][0]["message"]["content"]
            figures = body["metrics"]["parallel"]
            for name, value in {
                "tokens": body["usage"]["completion_tokens"],
                "threads": figures["threads"],
                "forks": figures["forks"],
            }.items():
                expect(view.figure(name, title)).to_have_text(str(value))
            steps = int(view.figure("steps", title).inner_text())
            # A last token of a thread that the budget does not cover is told to nobody.
            unheard = 0 if title == "Parallel" else figures["threads"]
            assert figures["forward_passes"] - unheard <= steps <= figures["forward_passes"]
            assert figures["mode"] == ("sequential" if limit else "forked")
            assert int(view.figure("KV blocks", title).inner_text()) >= 1
    assert int(view.figure("forks").inner_text()) > 0


def test_threads_are_seen_while_they_are_decoded_and_stop_frees_their_blocks(opened: Open) -> None:
    view, _, crowd = opened(held=True)
    view.ask("a")
    crowd.let(12)
    expect(view.figure("steps")).to_have_text("12")
    assert view.document().locator(".live").count() > 1
    assert crowd.blocks_held > 0
    view.page.keyboard.press("Escape")
    expect(view.state()).to_have_text("stopped")
    crowd.let()
    wait_for(lambda: crowd.blocks_held == 0, "all blocks are free")


def test_the_key_of_the_server_is_asked_for(opened: Open) -> None:
    view, _, _ = opened(key="right-key")
    view.ask("a")
    expect(view.problem).to_contain_text("The server asks for an API key")
    view.page.get_by_label("API key").fill("right-key")
    view.button("Use this key").click()
    expect(view.state()).to_have_text(ENDED)


def test_what_the_server_refuses_is_told_in_its_words(opened: Open) -> None:
    view, site, _ = opened()
    refused = site.chat("a", max_tokens=10**9)
    assert refused.status_code == 400
    view.page.locator("#max_tokens").evaluate("input => input.removeAttribute('max')")
    view.page.locator("#max_tokens").fill("1000000000")
    view.ask("a")
    expect(view.problem).to_contain_text(refused.json()["error"]["message"])


def test_the_page_of_the_api_makes_no_request_elsewhere(opened: Open) -> None:
    view, _, _ = opened()
    view.page.get_by_role("link", name="API").click()
    expect(view.page.get_by_text("/v1/chat/completions").first).to_be_visible()
