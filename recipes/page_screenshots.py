"""Make the pictures of docs/page.md: docs/page-{wide,narrow}-{light,dark}.png, of a running server.

apar serve demo --port 8000 &
python recipes/page_screenshots.py http://127.0.0.1:8000/
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

DOCS = Path(__file__).parents[1] / "docs"
QUESTION = "How can I make new friends after moving to another city?"
WINDOWS = {"wide": (1200, 930), "narrow": (390, 1150)}
SCHEMES = ("light", "dark")


def main(url: str) -> None:
    arguments = ["--disable-gpu", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        for window in WINDOWS:
            for scheme in SCHEMES:
                take(browser, url, window, scheme)
        browser.close()


def take(browser: Browser, url: str, window: str, scheme: str) -> None:
    """Ask in both ways, go back to where several threads are open, and take the picture."""
    width, height = WINDOWS[window]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.goto(url)
    expect(page.locator("#server")).to_have_attribute("data-state", "ok", timeout=60_000)
    ask(page, compare=window == "wide")
    page.get_by_label("Position").fill("70")
    path = DOCS / f"page-{window}-{scheme}.png"
    top = "#ask" if window == "wide" else "#result"
    page.locator(top).evaluate("element => scrollTo(0, element.offsetTop - 10)")
    page.mouse.move(0, 0)
    page.screenshot(path=path)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
    context.close()


def ask(page: Page, compare: bool) -> None:
    page.get_by_label("Question").fill(QUESTION)
    page.get_by_label("Compare with sequential").set_checked(compare)
    page.get_by_role("button", name="Ask", exact=True).click()
    last = page.locator(".panel").nth(int(compare))
    expect(last.locator(".state")).to_have_text(re.compile("complete|cut"), timeout=60_000)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000/")
