"""What a server does wrong fails one answer in one line, and leaves the others alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from apar.backends.completions import CompletionsBackend
from apar.decoding.answer import Answer
from apar.decoding.params import SamplingParams
from apar.errors import AparError, BusyError, RequestError, RunError
from apar.events import Started
from apar.tree import ROOT
from tests.backends.completions.fake import TextServer
from tests.backends.lists import ListModel
from tests.backends.vllm_server.fake import Body, CutError, Reply, event

RULES = SamplingParams(max_tokens=90, fork_by="rules")
Distortion = Callable[[Body, AsyncIterator[bytes]], AsyncIterator[bytes]]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


async def _both(url: str) -> tuple[AparError, Answer]:
    """What asking for the answer to the bad prompt fails with, and the answer to another, at the same time."""
    async with CompletionsBackend(None, url) as backend:
        other = asyncio.create_task(backend.generate(["Walk"], RULES))
        with pytest.raises(AparError) as caught:
            await backend.generate(["Tips"], RULES)
        [answer] = await other
        return caught.value, answer


async def _cut(body: Body, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield await anext(chunks)
    raise CutError


async def _fails(body: Body, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield await anext(chunks)
    yield event({"error": {"message": "slot is gone", "code": 500}})


async def _breaks_off(body: Body, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield await anext(chunks)
    yield b"data: [DONE]\n\n"


async def _no_text(body: Body, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield event({"choices": [{"index": 0, "text": 7}]})


async def _aborts(body: Body, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield event({"choices": [{"index": 0, "text": "", "finish_reason": "abort"}]})


@pytest.mark.parametrize(
    ("distort", "kind", "words"),
    [
        (_cut, RunError, "was lost in the middle of an answer"),
        (_fails, RunError, "slot is gone"),
        (_breaks_off, RunError, "broke request 0 off|broke request 1 off"),
        (_no_text, RunError, "no chunk of a completion"),
        (_aborts, RunError, "'abort'"),
    ],
)
def test_what_fails_in_a_thread_fails_its_answer_only(distort: Distortion, kind: type[AparError], words: str) -> None:
    server = TextServer()
    bad: Distortion = lambda body, chunks: distort(body, chunks) if _is_bad(body) else chunks  # noqa: E731
    server.distort = bad
    with server.running() as url:
        error, answer = asyncio.run(_both(url))
        server.wait_until_left()
    assert isinstance(error, kind)
    assert words.split("|")[0] in str(error) or words.split("|")[-1] in str(error)
    assert "\n" not in str(error)
    assert answer.forks


def _is_bad(body: Body) -> bool:
    """A thread of the bad prompt's answer, but for its first request."""
    return bool(body["prompt"].startswith("Tips") and body["prompt"] != "Tips")


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [(400, RequestError, "refuses the request"), (429, BusyError, "busy"), (500, RunError, "failed")],
)
def test_what_the_server_refuses_in_the_middle_is_told(status: int, kind: type[AparError], words: str) -> None:
    server = TextServer()
    server.reply = lambda path, body: (
        Reply(status, {"error": {"message": "no"}}) if path == "/v1/completions" and _is_bad(body) else None
    )
    with server.running() as url:
        error, answer = asyncio.run(_both(url))
    assert isinstance(error, kind)
    assert words in str(error)
    assert answer.forks


def test_a_closed_stream_ends_every_request() -> None:
    server = TextServer(ListModel(16, fork=4.0, eos=-99.0), pause=0.005)

    async def look() -> None:
        params = SamplingParams(max_tokens=2000, fork_by="rules")
        async with CompletionsBackend(None, url) as backend, backend.stream("Tips", params) as stream:
            async for told in stream:
                if isinstance(told, Started) and told.thread != ROOT:
                    break

    with server.running() as url:
        asyncio.run(look())
        server.wait_until_left()
    assert len(server.bodies) >= 3


def test_a_lead_that_is_refused_for_its_limits_is_counted() -> None:
    with TextServer().running() as url:

        async def ask() -> Answer:
            async with CompletionsBackend(None, url) as backend:
                params = SamplingParams(max_tokens=90, max_threads=2, fork_by="rules")
                [answer] = await backend.generate(["Tips"], params)
                return answer

        answer = asyncio.run(ask())
    # A list of two items needs a thread for each.
    assert answer.threads == 1
    assert answer.not_forked["limits"] > 0
