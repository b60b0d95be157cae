"""Answers by a server of texts: those of a slow engine whose tokens are the same pieces of text."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest

from apar.backends.completions import CompletionsBackend
from apar.backends.completions.pieces import END, PROMPT, Pieces, PieceTokens
from apar.backends.sync import SyncBackend
from apar.decoding.answer import Answer
from apar.decoding.detokenize import Detokenizer
from apar.decoding.group import Group, Sampled
from apar.decoding.lockstep import complete_step
from apar.decoding.params import RawPrompt, SamplingParams
from apar.decoding.requests import Request
from apar.decoding.vocabulary import Vocabulary
from apar.errors import ContextError, ModelError, RequestError
from apar.events import Delta, Event, Finished, Started
from apar.tree import ROOT
from tests.backends.completions.fake import NAME, TextServer
from tests.backends.lists import PIECES, PROMPTS, ListModel, list_model, list_params

RULES = SamplingParams(max_tokens=150, fork_by="rules")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def expected(model: ListModel, prompt: str, params: SamplingParams, context: int) -> Group:
    """The answer, with every piece chosen alone behind its thread's whole text."""
    pieces = Pieces(prompt)
    request = Request([PROMPT], params, 0, prompt)
    group = Group.start(0, request, Vocabulary(None, None, frozenset([END])), context, Detokenizer(pieces.decode))
    group.read_form(PieceTokens(pieces), request)
    while not group.done:
        for thread in group.threads:
            if not thread.ahead:
                thread.ahead.append(Sampled(_likeliest(model, pieces, group, thread)))
        complete_step(group)
    return group


def _likeliest(model: ListModel, pieces: Pieces, group: Group, thread: Any) -> int:
    logits = model.behind(pieces.decode(thread.tokens))
    for token in sorted(range(len(PIECES)), key=lambda token: -logits[token]):
        piece = pieces.id_of(PIECES[token]) if token else END
        if piece not in group.banned(thread, thread.state):
            return piece
    raise AssertionError


def told(events: Sequence[Event]) -> list[object]:
    """The events without the numbers of pieces, which are in the order in which pieces came."""
    return [(e.thread, e.step, e.text, len(e.token_ids)) if isinstance(e, Delta) else e for e in events]


async def _generate(backend: CompletionsBackend, prompts: Sequence[Any], params: Any) -> list[Answer]:
    async with backend:
        return await backend.generate(prompts, params)


@pytest.mark.parametrize("seed", range(4))
def test_random_answers_are_those_of_the_slow_engine(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apar.backends.completions.engine._MOST_TRIES", len(PIECES))
    rng = random.Random(seed)
    server = TextServer(list_model(seed), pause=0.0005)
    prompts, params = rng.choices(PROMPTS, k=25), [list_params(rng) for _ in range(25)]
    with server.running() as url:
        backend = CompletionsBackend(None, url, max_connections=rng.choice([1, 3, 500]))
        answers = asyncio.run(_generate(backend, prompts, params))
    for prompt, wanted, answer in zip(prompts, params, answers, strict=True):
        group = expected(server.model, prompt, wanted, server.context)
        assert told(answer.events) == told(group.events)
        assert answer.text == group.assembler.text
        assert answer.not_forked == group.not_forked
    assert sum(answer.forks for answer in answers) > 5


def test_the_request_is_openais_with_the_text_of_the_path() -> None:
    server = TextServer()
    with server.running() as url:
        [answer] = asyncio.run(_generate(CompletionsBackend(None, url + "/v1/"), ["Tips"], RULES))
    assert answer.forks
    first = server.bodies[0]
    assert first == {
        "model": NAME, "prompt": "Tips", "stream": True, "stream_options": {"include_usage": True},
        "max_tokens": 150, "temperature": 0.0, "top_p": 1.0,
    }  # fmt: skip
    child = next(event.thread for event in answer.events if isinstance(event, Started) and event.thread != ROOT)
    assert child == (0, 0)
    assert all(isinstance(body["prompt"], str) for body in server.bodies)
    assert answer.prompt_tokens == 1


def test_what_may_not_begin_a_detail_is_banned_by_the_id_that_the_server_says() -> None:
    server = TextServer()
    with server.running() as url:
        asyncio.run(_generate(CompletionsBackend(None, url), list(PROMPTS), RULES))
    bans = [body["logit_bias"] for body in server.bodies if "logit_bias" in body]
    assert bans
    assert all(bias == -100.0 for ban in bans for bias in ban.values())


class OneLead(ListModel):
    """Writes one lead, and then only ends."""

    def behind(self, text: str) -> list[float]:
        logits, lead = super().behind(text), "Tips:\n\n1. Rest:"
        if lead.startswith(text) and text != lead:
            rest = lead[len(text) :]
            logits[PIECES.index(max((piece for piece in PIECES[1:] if rest.startswith(piece)), key=len))] = 99.0
        return logits


def test_without_ids_it_is_drawn_again_and_at_last_a_space_begins_the_detail() -> None:
    server = TextServer(OneLead(16, fork=0.0, eos=50.0), has=())
    with server.running() as url:
        backend = CompletionsBackend(None, url)
        [answer] = asyncio.run(_generate(backend, [RawPrompt("Tips:")], RULES))
    tries = [body for body in server.bodies if body.get("ignore_eos")]
    assert tries
    assert answer.finish_reason == "stop"
    assert answer.text.startswith("\n\n1. Rest:")


def test_from_a_seed_an_answer_is_the_same_again() -> None:
    server = TextServer(pause=0.001)
    params = SamplingParams(max_tokens=90, temperature=0.8, seed=3, fork_by="rules")
    with server.running() as url:
        texts = [asyncio.run(_generate(CompletionsBackend(None, url), ["Tips"], params))[0].text for _ in range(2)]
        other = SamplingParams(max_tokens=90, temperature=0.8, seed=4, fork_by="rules")
        [different] = asyncio.run(_generate(CompletionsBackend(None, url), ["Tips"], other))
    assert texts[0] == texts[1] != different.text
    assert {(body["top_k"], body["min_p"]) for body in server.bodies} == {(0, 0.0)}


def test_answers_of_one_request_are_different_ones() -> None:
    server = TextServer()
    params = SamplingParams(max_tokens=60, temperature=1.0, seed=3, n=3, fork_by="rules")
    with server.running() as url:
        answers = asyncio.run(_generate(CompletionsBackend(None, url), ["Tips"], params))
    assert len({answer.text for answer in answers}) == 3


def test_an_answer_that_does_not_fork_is_one_request() -> None:
    server = TextServer()
    with server.running() as url:
        [answer] = asyncio.run(
            _generate(CompletionsBackend(None, url), ["Tips"], SamplingParams(max_tokens=40, fork=False))
        )
    assert (answer.threads, answer.tokens, answer.finish_reason) == (1, 40, "length")
    assert len(server.bodies) == 1


@pytest.mark.parametrize("tells_usage", [True, False])
def test_where_the_server_has_no_more_room_threads_end_by_their_length(tells_usage: bool) -> None:
    server = TextServer(context=16, has=(), tells_usage=tells_usage)
    with server.running() as url:
        backend = CompletionsBackend(None, url, context=4000)
        [answer] = asyncio.run(_generate(backend, [RawPrompt("Tips")], RULES))
    assert answer.finish_reason == "length"
    assert 10 < answer.tokens < 150
    reasons = [event.reason for event in answer.events if isinstance(event, Finished)]
    assert "length" in reasons


def test_a_prompt_that_is_too_long_is_refused_before_anything_runs() -> None:
    with TextServer(context=3).running() as url:
        backend = CompletionsBackend(None, url)
        assert backend.context == 3
        with pytest.raises(ContextError, match="the prompt has 4 tokens"):
            asyncio.run(_generate(backend, ["Tips" * 4], RULES))


def test_what_cannot_be_asked_is_refused_in_a_line() -> None:
    with TextServer().running() as url:
        backend = CompletionsBackend(None, url)
        for params, words in [
            (SamplingParams(logprobs=1, fork=False), "no log probabilities of its answers: leave logprobs out"),
            (SamplingParams(fork_by="rules", frequency_penalty=0.5), "penalties"),
            (SamplingParams(fork_by="rules", priority=1), "leave priority out"),
        ]:
            with pytest.raises(RequestError, match=words):
                asyncio.run(backend.ask(["Tips"], params))
        with pytest.raises(RequestError, match="as a text, not as token ids"):
            asyncio.run(backend.ask([RawPrompt((1, 2))], RULES))
        with pytest.raises(RequestError, match="the prompt has no tokens"):
            asyncio.run(backend.ask([RawPrompt("")], RULES))
        with pytest.raises(ModelError, match=r"no control tokens.*--fork rules"):
            asyncio.run(backend.ask(["Tips"], SamplingParams()))


def test_programs_without_an_event_loop_have_it_too() -> None:
    server = TextServer()
    with server.running() as url, SyncBackend(lambda: CompletionsBackend(None, url)) as blocking:
        [answer] = blocking.generate(["Tips"], RULES)
        assert told(list(blocking.stream("Tips", RULES))) == told(answer.events)
