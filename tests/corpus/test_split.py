"""Splits and mixes are decided by hashes: near the shares asked for, whatever the order."""

from __future__ import annotations

from collections import Counter

import pytest

from apar.corpus.split import Kind, SplitConfig, is_held_out, is_kept, kind_of, shares
from apar.structure.labels import REASONS
from apar.tokens import Message


def asked(question: str, *more: str) -> list[Message]:
    return [{"role": "user", "content": text} for text in (question, *more)]


def test_all_answers_to_a_prompt_are_on_one_side() -> None:
    config = SplitConfig(held_out=0.2)
    sides = [is_held_out(asked(f"Question {k}?"), config) for k in range(5000)]
    assert 0.18 < sum(sides) / 5000 < 0.22
    assert sides == [is_held_out(asked(f"question  {k}?", "And then?"), config) for k in range(5000)]
    assert sides != [is_held_out(asked(f"Question {k}?"), SplitConfig(held_out=0.2, seed=1)) for k in range(5000)]


def test_nothing_is_held_out_unless_asked() -> None:
    assert not any(is_held_out(asked(str(k)), SplitConfig()) for k in range(100))


@pytest.mark.parametrize(("structured", "others"), [(9000, 1000), (1000, 9000)])
def test_the_mix_has_the_share_asked_for(structured: int, others: int) -> None:
    counts: Counter[Kind] = Counter({"structured": structured, "code": others // 2, "prose": others // 2})
    config = SplitConfig(structured=0.5)
    keep = shares(counts, config)
    kept = {kind: sum(is_kept(f"{kind}{k}", keep[kind], config) for k in range(counts[kind])) for kind in counts}
    assert kept["structured"] == pytest.approx(1000, rel=0.1)
    assert kept["code"] == pytest.approx(kept["prose"], rel=0.15)
    assert sum(kept.values()) == pytest.approx(2000, rel=0.1)


def test_a_kind_has_at_most_so_many() -> None:
    counts: Counter[Kind] = Counter({"structured": 10, "code": 1000, "prose": 10})
    keep = shares(counts, SplitConfig(at_most={"code": 100, "story": 5}))
    assert (keep["code"], keep["prose"], keep["structured"], keep["story"]) == (0.1, 1.0, 1.0, 1.0)


def test_every_reason_has_a_kind() -> None:
    assert kind_of(None, 10) == "structured"
    assert all(kind_of(reason, 1000) != "structured" for reason in REASONS)
    assert (kind_of("code", 9), kind_of("formula", 9), kind_of("dialogue", 9)) == ("code", "mathematics", "dialogue")
    assert (kind_of("too_few_parts", 50), kind_of("too_few_parts", 5000)) == ("short", "prose")
