"""The files of the page: they are all there, and nothing in them needs more than the policy allows."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from apar.server.protocol.fields import MAX_DEPTH, MAX_THREADS, MAX_TOKENS
from tests.server.page.fake import PAGE

SCRIPTS = {path.name: path.read_text(encoding="utf-8") for path in PAGE.glob("*.js")}


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed((PAGE / "index.html").read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


ELEMENTS = _Elements().found


def test_every_file_that_is_named_is_there_and_every_script_is_used() -> None:
    named = {str(attrs.get("src") or attrs.get("href")) for tag, attrs in ELEMENTS if tag in ("script", "link")}
    assert all(name.startswith("page/") and (PAGE / name.removeprefix("page/")).is_file() for name in named)
    imported = {name for text in SCRIPTS.values() for name in re.findall(r'from "\./([\w.-]+)"', text)}
    assert imported | {"page.js", "docs.js"} == set(SCRIPTS), "docs.js is of the API's description"


def test_there_is_no_style_or_script_within_the_page() -> None:
    assert not [tag for tag, _ in ELEMENTS if tag == "style"]
    assert all(attrs.get("src") for tag, attrs in ELEMENTS if tag == "script")
    assert not [attrs for _, attrs in ELEMENTS for name in attrs if name == "style" or name.startswith("on")]


def test_no_script_makes_markup_of_text() -> None:
    markup = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|createContextual"
    )
    assert not [name for name, text in SCRIPTS.items() if markup.search(text)]


def test_no_file_names_another_server() -> None:
    texts = {path.name: path.read_text(encoding="utf-8") for path in PAGE.iterdir()}
    addresses = {address for text in texts.values() for address in re.findall(r"\bhttps?://[^\s\"'`]+", text)}
    assert addresses == {"http://www.w3.org/2000/svg"}, "the name of a language, not an address"


def test_the_form_takes_what_the_api_takes() -> None:
    limits = {
        attrs["id"]: attrs.get("max") for tag, attrs in ELEMENTS if tag == "input" and attrs.get("type") == "number"
    }
    assert limits == {
        "max_tokens": str(MAX_TOKENS),
        "temperature": "2",
        "seed": str(2**53 - 1),  # the largest number that a browser has exactly
        "max_items": str(MAX_THREADS),
        "max_threads": str(MAX_THREADS),
        "max_depth": str(MAX_DEPTH),
    }


def test_files_are_small_and_lines_fit() -> None:
    for path in PAGE.iterdir():
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) < 250, path.name
        long = [line for line in lines if len(line) > 120 and path.suffix == ".js"]
        assert not long, path.name
