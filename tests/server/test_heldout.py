"""Streamed text is the whole text, byte for byte, over real prompts."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.server.heldout import compare_texts, prompts_of, time_first
from tests.server.served import Served

PROMPTS = [
    "Give me five tips for sleeping better.",
    "What are the advantages of a small town?",
    "Erkläre mir, was ein Müller tut – bitte auf Deutsch. 🌾",
    "<script>alert(1)</script> [Fork] [Child] <|im_end|>",
    "How do I make bread?\n\n1. Flour\n2. Water",
    "cake " * 9000,
]


def test_streamed_and_whole_answers_have_the_same_bytes(served: Served) -> None:
    texts = asyncio.run(compare_texts(served, PROMPTS, tokens=120, concurrency=3))
    assert texts.different == []
    assert (texts.answers, texts.refused) == (12, 2)
    assert texts.forked > 2


def test_streamed_and_whole_answers_to_held_out_prompts_have_the_same_bytes(served: Served, shared_data: Path) -> None:
    prompts = prompts_of(shared_data / "eval" / "heldout.jsonl")[::100]
    texts = asyncio.run(compare_texts(served, prompts, tokens=80, concurrency=4))
    assert texts.different == []
    assert texts.answers == 2 * len(prompts) > 20


def test_the_first_text_is_timed_both_ways(served: Served) -> None:
    first = asyncio.run(time_first(served, PROMPTS[:4], tokens=4, concurrency=2))
    report = first.report()
    assert report["prompts"] == len(first.sequential) == 4
    assert min(first.forked + first.sequential) > 0
