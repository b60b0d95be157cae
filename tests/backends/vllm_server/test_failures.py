"""What can go wrong at a server: what, where and what to do is said, and no other answer suffers."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from apar.backends.vllm_server import VllmServerBackend
from apar.decoding.params import SamplingParams
from apar.errors import AparError, BusyError, ContextError, ModelError, RequestError, RunError
from tests.backends.vllm.tiny import texts
from tests.backends.vllm_server.fake import Body, CutError, FakeServer, Reply, chunk, event

Distortion = Callable[[Body, AsyncIterator[bytes]], AsyncIterator[bytes]]
BAD, GOOD = texts().index("ab"), texts().index("ba")
PARAMS = SamplingParams(max_tokens=30, seed=0)


def _both(server: FakeServer, folder: Path, **options: Any) -> tuple[AparError, Any]:
    """What answering the bad prompt fails with, and the answer to the good one, at the same time."""

    async def ask() -> tuple[Any, Any]:
        async with VllmServerBackend(folder, url, **options) as backend:
            tasks = [asyncio.create_task(backend.generate([word], PARAMS)) for word in ("ab", "ba")]
            bad, good = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(good, list), good
        return bad, good[0]

    with server.running() as url:
        error, answer = asyncio.run(ask())
    assert isinstance(error, AparError), error
    return error, answer


def _refusing(status: int, body: Any, headers: dict[str, str] | None = None) -> FakeServer:
    """A server that refuses the bad prompt."""
    server = FakeServer()
    refuses = Reply(status, body, headers or {})
    server.reply = lambda path, body: refuses if body.get("prompt", [0])[0] == BAD and path != "/tokenize" else None
    return server


def _distorting(distort: Distortion) -> FakeServer:
    """A server that distorts what it says to the bad prompt."""
    server = FakeServer()
    server.distort = lambda body, chunks: distort(body, chunks) if body["prompt"][0] == BAD else chunks
    return server


def _told(message: str) -> Body:
    return {"error": {"message": message, "type": "X", "code": 400}}


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (400, _told("logprobs of 20 are too many"), RequestError, r"logprobs of 20 are too many"),
        (400, _told("the maximum context length is 9"), ContextError, r"says: the maximum context length is 9"),
        (401, {"error": "Unauthorized"}, RequestError, r"API key.*Unauthorized"),
        (403, "no", RequestError, r"API key"),
        (404, _told("The model `tiny` does not exist."), ModelError, r"`tiny` does not exist"),
        (422, {"detail": [{"msg": "top_k"}]}, RequestError, r"top_k"),
        (429, _told("slowly"), BusyError, r"busy.*slowly.*later"),
        (503, "", BusyError, r"busy"),
        (500, "<html>\nOops</html>", RunError, r"failed \(500\): <html> Oops"),
        (502, "x" * 9999, RunError, r"502"),
    ],
)
def test_what_the_server_refuses_with_is_told(
    folder: Path, status: int, body: Any, kind: type[AparError], words: str
) -> None:
    error, good = _both(_refusing(status, body), folder)
    assert type(error) is kind
    assert re.search(words, str(error)), error
    assert len(str(error)) < 900
    assert good.text


def test_a_redirection_names_the_place(folder: Path) -> None:
    error, _ = _both(_refusing(307, "", {"Location": "http://elsewhere:1/"}), folder)
    assert "http://elsewhere:1/" in str(error)


async def _cut(body: Body, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield await anext(chunks)
    raise CutError


async def _fails(body: Body, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield await anext(chunks)
    yield event({"error": {"message": "Token id 99 is out of vocabulary", "code": 400}})
    yield b"data: [DONE]\n\n"


async def _fails_inside(body: Body, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield event({"error": {"message": "EngineCore died", "code": "x"}})


async def _aborts(body: Body, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield event(chunk([], "abort"))


async def _breaks_off(body: Body, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield event(chunk([GOOD]))
    yield b"data: [DONE]\n\n"


async def _no_json(body: Body, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield b"data: {nonsense\n\n"


async def _no_object(body: Body, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield b"data: [1]\n\n"


async def _no_ids(body: Body, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield event({"choices": [{"index": 0, "text": "a", "finish_reason": None}]})


async def _words_for_ids(body: Body, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield event({"choices": [{"index": 0, "text": "a", "finish_reason": None, "token_ids": ["a"]}]})


async def _two_choices(body: Body, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield event({"choices": 2 * chunk([GOOD])["choices"]})


async def _nothing_sampled(body: Body, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield event(chunk([], "length"))


@pytest.mark.parametrize(
    ("distort", "kind", "words"),
    [
        (_cut, RunError, "lost in the middle of an answer"),
        (_fails, RequestError, "Token id 99 is out of vocabulary"),
        (_fails_inside, RunError, "EngineCore died"),
        (_aborts, RunError, "'abort'"),
        (_breaks_off, RunError, "broke request"),
        (_no_json, RunError, "no chunk of a completion: {nonsense"),
        (_no_object, RunError, "no chunk of a completion"),
        (_no_ids, ModelError, "no token ids"),
        (_words_for_ids, RunError, "no chunk of a completion"),
        (_two_choices, RunError, "no chunk of a completion"),
        (_nothing_sampled, RunError, "without a token"),
    ],
)
def test_what_fails_in_the_middle_fails_that_answer_only(
    folder: Path, distort: Distortion, kind: type[AparError], words: str
) -> None:
    async def ask() -> tuple[AparError, str]:
        async with VllmServerBackend(folder, url) as backend:
            good = asyncio.create_task(backend.generate(["ba"], PARAMS))
            with pytest.raises(kind) as caught:
                async for _ in backend.stream("ab", PARAMS):
                    pass
            return caught.value, (await good)[0].text

    with _distorting(distort).running() as url:
        error, text = asyncio.run(ask())
    assert words in str(error)
    assert text


def test_a_child_that_fails_ends_the_other_threads_of_its_answer(folder: Path) -> None:
    server = FakeServer(pause=0.002)
    server.distort = lambda body, chunks: chunks if len(body["prompt"]) == 1 else _cut(body, chunks)
    with server.running() as url:

        async def ask() -> None:
            async with VllmServerBackend(folder, url) as backend:
                async for _ in backend.stream("ab", SamplingParams(max_tokens=80)):
                    pass

        with pytest.raises(RunError, match="lost"):
            asyncio.run(ask())
        server.wait_until_left()


def test_a_silent_server_is_not_waited_for_for_ever(folder: Path) -> None:
    async def silent(body: Body, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        yield await anext(chunks)
        await asyncio.sleep(60)

    error, good = _both(_distorting(silent), folder, timeout=1.0)
    assert "said nothing for too long in the middle of an answer" in str(error)
    assert good.text


def test_a_connection_that_fails_before_the_first_byte_is_tried_once_more(folder: Path) -> None:
    failures = iter([CutError, None, CutError, CutError])

    def reply(path: str, body: Body) -> None:
        if path == "/v1/completions" and (failure := next(failures, None)):
            raise failure

    server = FakeServer(reply=reply)
    params = SamplingParams(max_tokens=1, fork=False)
    with server.running() as url:

        async def ask() -> None:
            async with VllmServerBackend(folder, url) as backend:
                [answer] = await backend.generate(["ab"], params)
                assert answer.text
                with pytest.raises(RunError, match="lost"):
                    await anext(backend.stream("ab", params))
                assert (await backend.generate(["ab"], params))[0].text == answer.text

        asyncio.run(ask())


def test_a_server_that_is_not_there_is_named(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(RunError, match=f"http://{place} cannot be reached.*does it run"):
            VllmServerBackend(folder, f"http://user:secret@{place}")
