"""Content that must not run side by side is recognised, and ordinary prose is not taken for it."""

from __future__ import annotations

import pytest

from apar.structure.content import content_reasons
from apar.structure.markdown import parse


def first_reason(text: str) -> str | None:
    return next(content_reasons(text, parse(text)), None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Do this:\n\n```\nls\n```", "code"),
        ("Do this:\n\n    ls -l\n    cat file\n", "code"),
        ("def f(x):\n    y = x\n    return g(y);\nfor (a; b; c) {\n}", "code"),
        ("import os\nimport sys\nfrom pathlib import Path", "code"),
        ("Sort [3, 1, 2].\nThen [1, 3, 2].\nThen [1, 2, 3].", "code"),
        ("The area is \\(r^2\\).", "formula"),
        ("The area is $\\pi r$ exactly.", "formula"),
        ("So x = 5 here.", "formula"),
        ("Add 2 + 3 = 5 of them.", "formula"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "table"),
        ("A line<br>and another", "markup"),
        ("<div>\nblock\n</div>", "markup"),
        ("See https://example.org/a?b=c for more.", "url"),
        ("See [the page](page.html) for more.", "url"),
        ("![a picture](p.png)", "url"),
        ("He said:\n\n> It is late.", "quotation"),
        ("1. item\n\n   > quoted in it", "quotation"),
        ("这是一个问题。答案在这里。", "cjk"),
        ("これは質問です。", "cjk"),
        ("이것은 질문입니다.", "cjk"),
    ],
)
def test_kinds_of_content(text: str, reason: str) -> None:
    assert first_reason(text) == reason


@pytest.mark.parametrize(
    "text",
    [
        "It costs $5 to $10, and $20 with the box.",
        "Use `x = 5` and `<br>` in the text.",
        "Fewer than 5 < 6, and more > less.",
        "The word 茶 means tea in Chinese, and has travelled far.",
        "Write to [Your Name] at [Address].",
        "Meet at 10:30; bring nothing.",
        "**Bold** and *italic* words.",
    ],
)
def test_prose_is_none_of_them(text: str) -> None:
    assert first_reason(text) is None
