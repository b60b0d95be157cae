"""The number of items that a prompt asks for."""

from __future__ import annotations

import pytest

from apar.decoding.by_form.counts import asked_items


@pytest.mark.parametrize(
    ("prompt", "count"),
    [
        ("List 5 tips for better sleep.", 5),
        ("What are the three main causes of the war?", 3),
        ("Give me ten ideas for a party", 10),
        ("top 10 movies of all time", 10),
        ("Five ways to save money", 5),
        ("Suggest at least 7 healthy snacks", 7),
        ("Name a dozen birds", None),
        ("请列出五个优点", 5),
        ("写出3种方法", 3),
        ("给我十二条建议", 12),
        ("Write 100 words", None),
        ("What can I see in 3 days in Rome?", None),
        ("Give me a 5-step plan", None),
        ("I have 3 apples", None),
        ("Write 2 paragraphs", None),
        ("List 99 bottles", None),
        ("List 1 reasons", None),
        ("三个月内能学会吗", None),
        ("我有两个孩子", None),
        ("", None),
    ],
)
def test_the_count(prompt: str, count: int | None) -> None:
    assert asked_items(prompt) == count
