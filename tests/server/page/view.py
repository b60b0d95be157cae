"""The page as a person uses it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

from apar.events import Event, to_json


class View:
    """Finds the page's parts by what assistive technology calls them, wherever it can."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def ask(self, question: str) -> None:
        self.page.get_by_label("Question").fill(question)
        self.button("Ask").click()

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def set(self, **settings: float) -> None:
        """Open the settings and fill them in."""
        self.page.get_by_text("Settings").click()
        for name, value in settings.items():
            self.page.locator(f"#{name}").fill(str(value))

    def document(self, title: str = "Parallel") -> Locator:
        return self.page.get_by_role("region", name=f"Answer, {title}")

    def timeline(self, title: str = "Parallel") -> Locator:
        return self.page.get_by_role("region", name=f"Threads over steps, {title}")

    def panel(self, title: str = "Parallel") -> Locator:
        return self.page.get_by_role("region", name=title, exact=True)

    def state(self, title: str = "Parallel") -> Locator:
        return self.panel(title).locator(".state")

    def figure(self, name: str, title: str = "Parallel") -> Locator:
        """The value of a counter."""
        return self.panel(title).locator("dl > div", has=self.page.get_by_text(name, exact=True)).locator("dd")

    def thread(self, key: str, title: str = "Parallel") -> Locator:
        """A thread's part of the document."""
        return self.document(title).locator(f"[data-thread='{key}']")

    @property
    def problem(self) -> Locator:
        return self.page.get_by_role("alert")

    def text(self, title: str = "Parallel") -> Any:
        """The text of the document as it stands, to the letter."""
        return self.document(title).evaluate("element => element.textContent")

    def open_trace(self, path: Path) -> None:
        self.page.locator("#file").set_input_files(path)

    def has_ended(self, title: str = "Parallel") -> None:
        expect(self.state(title)).to_have_text("complete")


def write_lines(path: Path, events: list[Event]) -> Path:
    path.write_text("".join(to_json(event) + "\n" for event in events), encoding="utf-8")
    return path


def as_json(lines: str) -> list[Any]:
    return [json.loads(line) for line in lines.splitlines()]
