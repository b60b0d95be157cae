"""Languages are told by the words, not by code."""

from __future__ import annotations

import pytest

from apar.corpus.language import language_of


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Tea is made with hot water, and it takes three minutes.", "en"),
        ("茶要用热水泡，三分钟就好。", "zh"),
        ("Der Tee wird mit heißem Wasser gemacht und zieht drei Minuten.", "de"),
        ("```python\nfor word in words:\n    print(word)\n```\n茶要用热水泡，三分钟就好。", "zh"),
        ("```python\nfor word in words:\n    print(word)\n```", "und"),
        ("int main() { int a[3] = {1, 2, 3}; return a[0]; }", "und"),
        ("3 + 6 = 9", "und"),
        ("", "und"),
    ],
)
def test_the_language_is_that_of_the_words(text: str, language: str) -> None:
    assert language_of(text) == language
