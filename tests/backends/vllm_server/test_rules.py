"""Answers that fork by their form through a vLLM server: those of a slow engine, event for event."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from apar.backends.vllm_server import VllmServerBackend
from apar.decoding.answer import Answer
from apar.decoding.params import SamplingParams
from apar.errors import RequestError, RunError
from apar.events import Started
from apar.tree import ROOT
from tests.backends.lists import (
    PROMPTS,
    ListModel,
    finish_slowly,
    list_group,
    list_model,
    list_params,
    list_tokenizer,
    save_tokenizer,
)
from tests.backends.vllm_server.fake import Body, CutError, FakeServer

LISTS = ListModel(16, fork=4.0, eos=-9.0)
"""Forks a few times, and once or twice would begin a detail with what may not."""


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tokenizer(tmp_path_factory.mktemp("lists"))


def _server(model: ListModel = LISTS, context: int = 200, pause: float = 0.0) -> FakeServer:
    return FakeServer(model, context=context, pause=pause, tokenizer=list_tokenizer())


async def _generate(backend: VllmServerBackend, prompts: list[str], params: list[SamplingParams]) -> list[Answer]:
    async with backend:
        return await backend.generate(prompts, params)


@pytest.mark.parametrize("seed", range(4))
def test_random_answers_are_those_of_the_slow_engine(lists: Path, seed: int) -> None:
    rng = random.Random(seed)
    server = _server(list_model(seed), context=rng.choice([48, 96, 128]), pause=0.0005)
    prompts, params = rng.choices(PROMPTS, k=25), [list_params(rng) for _ in range(25)]
    with server.running() as url:
        backend = VllmServerBackend(lists, url, max_connections=rng.choice([1, 3, 500]))
        answers = asyncio.run(_generate(backend, prompts, params))
    for prompt, wanted, answer in zip(prompts, params, answers, strict=True):
        expected = finish_slowly(list_group(prompt, wanted, server.context), server.model.logits)
        assert list(answer.events) == expected.events
        assert answer.text == expected.assembler.text
        assert answer.not_forked == expected.not_forked
    assert sum(answer.forks for answer in answers) > 5


def test_a_token_that_may_not_begin_a_detail_is_banned_by_its_id(lists: Path) -> None:
    server = _server()
    with server.running() as url:
        params = SamplingParams(max_tokens=150, fork_by="rules")
        asyncio.run(_generate(VllmServerBackend(lists, url), list(PROMPTS), [params] * len(PROMPTS)))
    bans = [body for body in server.bodies if body.get("logit_bias")]
    assert bans
    assert {body["max_tokens"] for body in bans} == {1}
    assert {bias for body in bans for bias in body["logit_bias"].values()} == {-100.0}


def test_a_closed_stream_ends_every_request(lists: Path) -> None:
    server = _server(context=4000, pause=0.005)

    async def look() -> None:
        params = SamplingParams(max_tokens=2000, fork_by="rules")
        async with VllmServerBackend(lists, url) as backend, backend.stream("Tips", params) as stream:
            async for event in stream:
                if isinstance(event, Started) and event.thread != ROOT:
                    break

    with server.running() as url:
        asyncio.run(look())
        server.wait_until_left()
    assert len(server.bodies) >= 3


def test_a_thread_that_fails_fails_its_answer_only(lists: Path) -> None:
    async def cut(body: Body, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        yield await anext(chunks)
        raise CutError

    opening = list_tokenizer().encode("Tips")
    server = _server()
    server.distort = lambda body, chunks: (
        cut(body, chunks) if body["prompt"][:1] == opening and len(body["prompt"]) > 1 else chunks
    )

    async def ask() -> Answer:
        params = SamplingParams(max_tokens=90, fork_by="rules")
        async with VllmServerBackend(lists, url) as backend:
            other = asyncio.create_task(backend.generate(["Walk"], params))
            with pytest.raises(RunError, match="was lost in the middle of an answer"):
                await backend.generate(["Tips"], params)
            [answer] = await other
            return answer

    with server.running() as url:
        answer = asyncio.run(ask())
        server.wait_until_left()
    assert answer.forks


def test_log_probabilities_and_penalties_are_refused_in_a_line(lists: Path) -> None:
    with _server().running() as url:
        backend = VllmServerBackend(lists, url)
        with pytest.raises(RequestError, match="logprobs"):
            backend.stream("Tips", SamplingParams(fork_by="rules", logprobs=1))
        with pytest.raises(RequestError, match="penalties"):
            backend.stream("Tips", SamplingParams(fork_by="rules", presence_penalty=1.0))
