"""The same answers are told, and nearly the same ones; other answers to the same question are none."""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from apar.corpus.duplicates import DuplicateConfig, Seen, signature
from apar.data.raw import SourceLocation
from tests.corpus.answers import chat

CONFIG = DuplicateConfig()


def words(number: int, seed: int, names: str = "") -> list[str]:
    chance = random.Random(seed)
    return [f"{names}{chance.randrange(5000)}" for _ in range(number)]


def verdict(*chats: object, config: DuplicateConfig = CONFIG) -> str | None:
    """What is said of the last of some chats."""
    seen = Seen(config)
    return [seen.drop_reason(signature(one, config)) for one in chats][-1]  # type: ignore[arg-type]


def test_case_and_white_space_make_no_difference() -> None:
    assert verdict(chat("Yes,  it is."), chat("yes, it\nis.")) == "duplicate"
    assert verdict(chat("It is C."), chat("It is C++.")) is None
    assert verdict(chat("Yes.", "Is it?"), chat("Yes.", "Was it?")) is None
    assert verdict(chat("Yes."), chat("Yes."), config=DuplicateConfig(exact=False, near=None)) is None


def test_the_same_long_question_answered_otherwise_is_no_duplicate() -> None:
    question = " ".join(words(2000, 1))
    first, second = (" ".join(words(60, seed)) for seed in (2, 3))
    assert verdict(chat(first, question), chat(second, question)) is None


def test_a_prompt_has_so_many_answers_at_most_and_duplicates_do_not_count() -> None:
    two = DuplicateConfig(answers_per_prompt=2)
    answers = [chat(text, "Why?") for text in ("A.", "a.", "B.")]
    assert verdict(*answers, config=two) is None
    assert verdict(*answers, chat("C.", "why? "), config=two) == "answers_per_prompt"
    assert verdict(*answers, chat("a.", "Why?"), config=two) == "duplicate"
    assert verdict(*answers, chat("C.", "Where?"), config=two) is None
    assert verdict(*answers, chat("C.", "Why?")) is None
    # What was left out for it is not what a near duplicate is near to.
    one, long = DuplicateConfig(answers_per_prompt=1), " ".join(words(300, 1))
    assert verdict(chat("A.", "Why?"), chat(long, "Why?"), chat(long + " so", "Where?"), config=one) is None


@pytest.mark.parametrize("changed", [1, 3])
def test_nearly_the_same_answer_to_another_question_is_told(changed: int) -> None:
    told = 0
    for seed in range(40):
        one = words(300, seed)
        other = [*one]
        for place in random.Random(seed).sample(range(300), changed):
            other[place] = "other"
        told += verdict(chat(" ".join(one), "a"), chat(" ".join(other), "b")) == "near_duplicate"
    assert told >= 38


def test_answers_that_share_half_are_none() -> None:
    for seed in range(40):
        one = words(300, seed)
        assert verdict(chat(" ".join(one), "a"), chat(" ".join(one[:150] + words(150, seed + 100)), "b")) is None


def test_short_answers_are_compared_exactly_alone() -> None:
    assert verdict(chat("the one and the other and 3", "a"), chat("the one and the other and 4", "b")) is None


def test_chinese_is_compared_by_characters() -> None:
    text = "茶要用热水泡三分钟就好但是绿茶的水不能太热否则会苦所以先等一等再把水倒进去然后慢慢喝"
    assert verdict(chat(text * 2, "a"), chat(text * 2 + "吧", "b")) == "near_duplicate"


def test_a_signature_is_small_and_does_not_depend_on_the_process() -> None:
    one = signature(chat(" ".join(words(300, 1))), CONFIG)
    assert len(one.sketch) == 256
    assert pickle.loads(pickle.dumps(one)) == one
    code = "from tests.corpus.test_duplicates import *\nprint(signature(chat(' '.join(words(300, 1))), CONFIG))"
    run = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": "7"}, capture_output=True, text=True
    )
    assert run.stdout.strip() == str(one), run.stderr


def test_an_id_of_the_data_is_kept_once_in_a_file() -> None:
    first, again = (replace(chat(text, text), named=True) for text in ("A.", "B."))
    elsewhere = replace(again, location=SourceLocation(Path("other.jsonl"), 1))
    assert verdict(first, again) == "same_id"
    assert verdict(first, elsewhere) is None
    assert verdict(first, replace(again, named=False)) is None
    assert verdict(first, again, config=DuplicateConfig(ids=False)) is None
