"""Answers by Skeleton-of-Thought over the engine, held against the requests made by hand."""

from __future__ import annotations

from typing import Any

import pytest

from apar.decoding.group import Group
from apar.decoding.params import RawPrompt, SamplingParams
from apar.engine.llm import LLM
from apar.errors import ContextError
from apar.skeleton import answering
from apar.skeleton.answering import skeleton_answers, takes
from apar.skeleton.prompts import outline_request, point_request
from apar.tokens import encode_prompt, encode_text
from tests.tiny import tiny_model

PARAMS = SamplingParams(max_tokens=12, seed=0)


@pytest.fixture(scope="module")
def llm(tmp_path_factory: pytest.TempPathFactory) -> LLM:
    return LLM(tiny_model(tmp_path_factory.mktemp("model") / "model", control=False, context=1024))


class Noted:
    """The engine, whose requests are noted."""

    def __init__(self, llm: LLM) -> None:
        self.tokenizer, self.engine, self.context = llm.tokenizer, llm.engine, llm.context
        self.requests: list[tuple[Any, SamplingParams]] = []
        self._llm = llm

    def start(self, prompt: Any, params: SamplingParams) -> Group:
        self.requests.append((prompt, params))
        return self._llm.start(prompt, params)


def outlined(monkeypatch: pytest.MonkeyPatch, *points: list[str]) -> None:
    """Let outlines have these points, in the order in which they end."""
    script = iter(points)
    monkeypatch.setattr(answering, "points_of", lambda outline: next(script))


def test_every_point_is_a_request_that_goes_on_from_it(llm: LLM, monkeypatch: pytest.MonkeyPatch) -> None:
    outlined(monkeypatch, ["Sleep", "Eat", "Run"], ["Read"])
    noted: Any = Noted(llm)
    first, second = skeleton_answers(noted, ["Why?", "How?"], PARAMS)
    begun = [
        *encode_prompt(llm.tokenizer, point_request("Why?", ["Sleep", "Eat", "Run"], 2)),
        *encode_text(llm.tokenizer, "2. Eat"),
    ]
    assert noted.requests[3][0].content == tuple(begun)
    assert [params.max_tokens for _, params in noted.requests] == [12, 12, 4, 4, 4, 12]
    alone = llm.generate([RawPrompt(tuple(begun))], SamplingParams(max_tokens=4, seed=0, fork=False))[0].text.rstrip()
    begin, end = first.details[1]
    assert first.text[begin:end] == alone
    assert first.text[:begin].endswith("\n2. Eat")
    assert first.text.startswith("1. Sleep")
    assert len(first.details) == 3
    assert second.text.startswith("1. Read")
    assert not llm.engine.groups


def test_steps_and_seconds_are_those_of_the_outline_and_of_the_longest_request(
    llm: LLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    outlined(monkeypatch, ["Sleep", "Eat"])
    [answer] = skeleton_answers(llm, ["Why?"], PARAMS)
    outline, *points = answer.requests
    assert answer.steps == outline.steps + max(point.steps for point in points)
    assert answer.seconds >= outline.seconds + max(point.seconds for point in points)
    assert answer.tokens == len(encode_text(llm.tokenizer, answer.text))
    assert answer.first_token_seconds is not None
    assert outline.seconds < answer.first_token_seconds <= answer.seconds


def test_without_points_the_question_is_answered_sequentially(llm: LLM, monkeypatch: pytest.MonkeyPatch) -> None:
    outlined(monkeypatch, [])
    [answer] = skeleton_answers(llm, ["Why?"], PARAMS)
    [plain] = llm.generate(["Why?"], SamplingParams(max_tokens=12, seed=0, fork=False))
    assert (answer.text, answer.details) == (plain.text, ())
    assert answer.steps == answer.requests[0].steps + plain.steps


def test_points_are_drawn_by_random_numbers_of_their_own(llm: LLM, monkeypatch: pytest.MonkeyPatch) -> None:
    outlined(monkeypatch, ["Same"] * 4)
    noted: Any = Noted(llm)
    skeleton_answers(noted, ["Why?"], SamplingParams(max_tokens=40, seed=0, temperature=1.0))
    assert len({params.seed for _, params in noted.requests}) == 5


def test_points_find_what_their_prompts_have_in_common_in_the_cache(llm: LLM, monkeypatch: pytest.MonkeyPatch) -> None:
    llm.engine.pool.forget(range(llm.engine.pool.num_blocks))
    outlined(monkeypatch, ["Sleep", "Eat", "Run"])
    [answer] = skeleton_answers(llm, ["Why?"], PARAMS)
    _, first, *others = answer.requests
    # A block is 16 tokens; what follows the number of the point differs.
    assert all(point.cached_tokens > 0.8 * point.prompt_tokens for point in others)
    assert first.cached_tokens < 0.5 * first.prompt_tokens
    apart = sum(point.kv_blocks_peak for point in answer.requests)
    assert max(point.kv_blocks_peak for point in answer.requests) < answer.kv_blocks_peak < apart


def test_where_a_point_does_not_fit_the_question_is_answered_sequentially(
    llm: LLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    outlined(monkeypatch, ["Sleep", "long " * 400])
    [answer] = skeleton_answers(llm, ["Why?"], PARAMS)
    [plain] = llm.generate(["Why?"], SamplingParams(max_tokens=12, seed=0, fork=False))
    assert (answer.text, answer.details) == (plain.text, ())


def test_a_question_that_is_too_long_leaves_nothing_behind(llm: LLM) -> None:
    assert takes(llm, "Why?")
    assert not takes(llm, "Why? " * 400)
    with pytest.raises(ContextError, match="shorten the prompt"):
        skeleton_answers(llm, ["Why?", "Why? " * 400], PARAMS)
    assert not llm.engine.groups


def test_the_outline_is_asked_for_by_the_chat_template_and_begun(llm: LLM) -> None:
    [answer] = skeleton_answers(llm, ["Why?"], PARAMS)
    begun = [*encode_prompt(llm.tokenizer, outline_request("Why?")), *encode_text(llm.tokenizer, "1.")]
    [outline] = llm.generate([RawPrompt(tuple(begun))], SamplingParams(max_tokens=12, seed=0, fork=False))
    assert answer.requests[0].text == outline.text
