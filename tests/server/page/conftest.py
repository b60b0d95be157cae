"""A headless Chromium on the page, and what has to hold for every test of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.server.page.fake import FakeServer
from tests.server.page.view import View

ARGUMENTS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


# A busy machine is no failure.
expect.set_options(timeout=30_000)


@pytest.fixture(scope="package")  # while it lives its event loop counts as running: asyncio.run is refused
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium is installed: `make chromium` installs it")
    # As root Chromium has no sandbox.
    arguments = ARGUMENTS + (["--no-sandbox"] if os.geteuid() == 0 else [])
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as fake:
        yield fake


@contextmanager
def watched(browser: Browser, url: str) -> Iterator[Page]:
    """A tab that fails its test if a script fails, the policy is broken, or a request leaves the server at `url`."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    context.set_default_timeout(30_000)
    page = context.new_page()
    wrong: list[str] = []
    own = (url, f"blob:{url}", "data:")
    page.on("pageerror", lambda error: wrong.append(f"script: {error}"))
    page.on("dialog", lambda dialog: (wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("console", lambda told: wrong.append(told.text) if "Content Security Policy" in told.text else None)
    page.on("request", lambda asked: None if asked.url.startswith(own) else wrong.append(f"request: {asked.url}"))
    yield page
    context.close()
    assert not wrong


@pytest.fixture
def page(browser: Browser, server: FakeServer) -> Iterator[Page]:
    """A watched tab."""
    with watched(browser, server.url) as page:
        yield page


@pytest.fixture
def view(page: Page, server: FakeServer) -> View:
    """The page as it is when it has been opened."""
    page.goto(server.url)
    return View(page)
