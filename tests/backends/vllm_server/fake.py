"""A server that speaks vLLM's completions. Its model is a hash of the path, its failures are to be chosen."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import math
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.backends.hasty import HashModel
from tests.backends.vllm.tiny import control, tokenizer
from tests.engine.tiny import VOCABULARY

NAME = "tiny"
CONTROL = control()
Body = dict[str, Any]


class CutError(Exception):
    """The server drops the connection."""


class PathModel(HashModel):
    """Of the tiny tokenizer's vocabulary."""

    def logits(self, tokens: Sequence[int]) -> list[float]:
        rng = random.Random(repr((self.seed, tuple(tokens))))
        logits = [rng.uniform(0, 4) for _ in range(VOCABULARY)]
        logits[CONTROL.fork] += self.fork
        for token in CONTROL.eos:
            logits[token] += self.eos
        return logits


@dataclass
class Reply:
    """A whole answer, where the server streams no completion."""

    status: int
    body: Any = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class FakeServer:
    """`reply` may answer a request otherwise, `distort` change a stream of chunks, each by the request's body.

    `tokenizer` is the model's, by default the tiny one.
    """

    model: HashModel = field(default_factory=lambda: PathModel(0, fork=1.5, eos=-1.0))
    context: int = 100
    cards: list[dict[str, Any]] | None = None
    key: str | None = None
    cached: int | None = None
    reply: Callable[[str, Body], Reply | None] = lambda path, body: None
    distort: Callable[[Body, AsyncIterator[bytes]], AsyncIterator[bytes]] = lambda body, chunks: chunks
    pause: float = 0.0
    tokenizer: Any = field(default_factory=tokenizer)
    bodies: list[Body] = field(default_factory=list)
    ranks: list[str | None] = field(default_factory=list)
    connections: int = 0
    streams: int = 0
    most_streams: int = 0
    left: int = 0

    def __post_init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._rng = random.Random(0)

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        """Serve in a thread; gives the URL."""
        thread = threading.Thread(target=self._loop.run_forever)
        thread.start()
        try:
            server = self._do(asyncio.start_server(self._serve, "127.0.0.1", 0))
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            self._do(self._end(server))
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            self._loop.close()

    def wait_until_left(self) -> None:
        """Until nobody reads a stream any more; fails where somebody still does after ten seconds."""
        end = time.monotonic() + 10
        while self.streams:
            assert time.monotonic() < end, f"{self.streams} requests are still open"
            time.sleep(0.01)

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _end(self, server: asyncio.Server) -> None:
        server.close()
        # Connections that are being accepted have no task of ours yet.
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(others, timeout=0.1)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while await self._exchange(reader, writer):
                pass
        except (CutError, ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        path = head[0].split()[1]
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
        length = int(headers.get("content-length", 0))
        body = json.loads(await reader.readexactly(length)) if length else {}
        answer = self._answer(path, headers, body)
        if answer is not None:
            await _write_whole(writer, answer)
            return True
        self.bodies.append(body)
        self.ranks.append(headers.get("x-data-parallel-rank"))
        return await self._stream(reader, writer, body)

    def _answer(self, path: str, headers: dict[str, str], body: Body) -> Reply | None:
        if self.key is not None and headers.get("authorization") != f"Bearer {self.key}":
            return Reply(401, {"error": "Unauthorized"})
        if (reply := self.reply(path, body)) is not None:
            return reply
        if path == "/v1/models":
            return Reply(200, {"data": self.cards or [{"id": NAME, "max_model_len": self.context}]})
        if path == "/tokenize":
            return Reply(200, {"tokens": self.tokenizer.encode(body["prompt"], add_special_tokens=False)})
        return None if path == "/v1/completions" else Reply(404, {"detail": "Not Found"})

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: Body) -> bool:
        self.streams += 1
        self.most_streams = max(self.streams, self.most_streams)
        gone = asyncio.create_task(reader.read(1))
        try:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            async for data in self.distort(body, self._chunks(body)):
                if gone.done():
                    self.left += 1
                    return False
                writer.write(b"%x\r\n%b\r\n" % (len(data), data))
                await writer.drain()
        finally:
            self.streams -= 1
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)
        # From here on the client may send its next request.
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    async def _chunks(self, body: Body) -> AsyncIterator[bytes]:
        before, sampled, reason = list(body["prompt"]), self._sample(body), None
        while reason is None:
            await asyncio.sleep(self._rng.uniform(0, 2 * self.pause))
            piece = list(itertools.islice(sampled, self._rng.randint(1, 4)))
            reason = self._reason(body, before, piece)
            yield event(chunk(piece, reason, self._logprobs(body, before, piece)))
            before += piece
        details = {} if self.cached is None else {"prompt_tokens_details": {"cached_tokens": self.cached}}
        yield event({"choices": [], "usage": {"total_tokens": len(before), **details}})
        yield b"data: [DONE]\n\n"

    def _sample(self, body: Body) -> Iterator[int]:
        path = list(body["prompt"])
        banned = set(self.tokenizer.convert_tokens_to_ids(body["bad_words"]))
        while True:
            logits = self.model.logits(path)
            for token, bias in body.get("logit_bias", {}).items():
                logits[int(token)] += bias
            token = max((token for token in range(len(logits)) if token not in banned), key=logits.__getitem__)
            path.append(token)
            yield token
            if self._reason(body, body["prompt"], path[len(body["prompt"]) :]):
                return

    def _reason(self, body: Body, before: list[int], piece: list[int]) -> str | None:
        """Why nothing comes behind these tokens."""
        if piece[-1] in body["stop_token_ids"]:
            return "stop"
        length = len(before) + len(piece)
        return "length" if length == min(self.context, len(body["prompt"]) + body["max_tokens"]) else None

    def _logprobs(self, body: Body, before: list[int], piece: list[int]) -> Body | None:
        """Of the model alone, as vLLM's: the sampled token first, then the likeliest."""
        if body.get("logprobs") is None:
            return None
        found = []
        for place in range(len(piece)):
            logits = self.model.logits([*before, *piece[:place]])
            total = math.log(sum(map(math.exp, logits)))
            ranking = sorted(range(len(logits)), key=lambda token: -logits[token])[: body["logprobs"]]
            found.append({f"token_id:{token}": logits[token] - total for token in [piece[place], *ranking]})
        names = [f"token_id:{token}" for token in piece]
        return {
            "tokens": names,
            "token_logprobs": [top[name] for top, name in zip(found, names, strict=True)],
            "top_logprobs": found,
        }


def chunk(tokens: Sequence[int], reason: str | None = None, logprobs: Body | None = None) -> Body:
    """Some tokens; the text has ends of lines that are not line feeds, as a text may."""
    choice = {"index": 0, "text": "a\u2028b\u0085c", "token_ids": list(tokens), "finish_reason": reason}
    return {"id": "cmpl-0", "choices": [{**choice, "logprobs": logprobs}]}


def event(data: Any) -> bytes:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


async def _write_whole(writer: asyncio.StreamWriter, reply: Reply) -> None:
    body = (reply.body if isinstance(reply.body, str) else json.dumps(reply.body)).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **reply.headers}
    head = [f"HTTP/1.1 {reply.status} X", *(f"{name}: {value}" for name, value in headers.items())]
    writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)
    await writer.drain()
