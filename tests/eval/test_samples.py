"""Answers side by side."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from apar.errors import UserError
from apar.eval.plan import Plan
from apar.eval.samples import samples, write_samples
from tests.eval.answers import answered, by_way, prompt

PROMPTS = [prompt(str(number)) for number in range(30)]
ANSWERS = by_way(
    *(answered(p.id, "forked", f"taught {p.id}") for p in PROMPTS),
    *(answered(p.id, "twin", f"plain {p.id}") for p in PROMPTS),
)
PLAN = Plan.model_validate(
    {"model": "m", "twin": "t", "output": "r.json", "sets": {"one": {"trees": ["t"]}}, "samples": 20}
)


def test_the_first_prompts_are_shown_and_the_key_tells_the_sides(tmp_path: Path) -> None:
    write_samples(tmp_path / "s.md", PLAN, {"one": PROMPTS}, {"one": ANSWERS})
    text = (tmp_path / "s.md").read_text()
    body, key = text.split("## Key")
    sides = re.findall(r"(\d+) ([AB])", key)
    assert [int(number) for number, _ in sides] == list(range(1, 21))
    assert {side for _, side in sides} == {"A", "B"}
    for (number, side), part in zip(sides, body.split("\n## ")[1:], strict=True):
        shown = dict(re.findall(r"\*\*([AB])\*\*\n\n> (\w+) ", part))
        assert shown[side] == "taught", number
        assert set(shown.values()) == {"taught", "plain"}


def test_nothing_before_the_key_tells_which_is_which() -> None:
    pair = (prompt("a"), [answered("a", "forked", "Same."), answered("a", "twin", "Same.")])
    body = samples(PLAN, [pair] * 5).split("## Key")[0]
    assert len(set(re.findall(r"\*\*[AB]\*\*\n\n(.*)\n", body))) == 1


def test_an_answer_stays_within_its_quotation() -> None:
    tree = "<b>bold</b>\n\n```\nif a < b:\n"
    text = samples(PLAN, [(prompt("a"), [answered("a", tree=tree, ended=False), answered("a", "twin", "")])])
    assert "> &lt;b>bold&lt;/b>\n>\n> ```\n> if a < b:\n\n(cut)\n" in text
    assert "> (no text)\n" in text


def test_without_a_twin_there_is_nothing_to_put_beside(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the plan has no twin"):
        write_samples(tmp_path / "s.md", PLAN.model_copy(update={"twin": None}), {}, {})
