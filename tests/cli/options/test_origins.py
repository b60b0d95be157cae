from __future__ import annotations

import pytest

from apar.cli.options.origins import check_origin
from apar.errors import UserError


@pytest.mark.parametrize(
    "origin",
    ["*", "https://a.example", "http://localhost:3000", "http://[::1]:8080", "http://127.0.0.1", "app://x",
     "https://xn--mller-kva.example", "http://a.example:443"],
)  # fmt: skip
def test_an_origin_is_taken(origin: str) -> None:
    assert check_origin(origin) == origin


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        ("https://b.example/", "https://b.example"),
        ("https://b.example/app?x#y", "https://b.example"),
        ("HTTPS://B.Example", "https://b.example"),
        ("https://b.example:443", "https://b.example"),
        ("http://b.example:80/", "http://b.example"),
        ("https://me:secret@b.example", "https://b.example"),
        ("https://müller.example", "https://xn--mller-kva.example"),
    ],
)
def test_what_no_browser_would_send_is_refused_and_the_error_says_what_to_write(given: str, origin: str) -> None:
    with pytest.raises(UserError, match=rf"; write {origin}$"):
        check_origin(given)


@pytest.mark.parametrize(
    "given",
    ["b.example", "localhost:3000", "//b.example", "https://", "https:b.example", "null", "https://*.example", "**",
     "https://b.example:99999", "https://b.example:x", "http://[::1", "https://a b", "https://a..example", ""],
)  # fmt: skip
def test_what_is_no_origin_is_refused_with_an_example(given: str) -> None:
    with pytest.raises(UserError, match="is no origin of pages; write https://app"):
        check_origin(given)
