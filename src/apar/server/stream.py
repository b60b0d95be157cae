"""Answers as server-sent events: in reading order, each piece as soon as everything before it is there."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from apar.backends.backend import AnswerStream
from apar.decoding.answer import Answer
from apar.errors import AparError
from apar.server.asked import Asked
from apar.server.errors import ApiError, timed_out
from apar.server.pace import Pace, Rest
from apar.server.presence import client_gone
from apar.server.tally import Tally
from apar.server.telling import Telling, as_thread_event
from apar.server.together import together
from apar.server.token_text import TokenTexts
from apar.server.usage import parallel, usage

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # or a proxy would keep pieces back
]
_PING = b": ping\n\n"
_DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a stream is delivered: until when (by the loop's time), the longest silence in seconds, what all streams of
    the server share, and how to tell what went wrong.
    """

    deadline: float
    ping: float
    pace: Pace
    explain: Callable[[Asked, AparError], ApiError]


class AnswerResponse(Response):
    """Streams the answers of a request. When the client goes, they are cancelled, and their blocks are free.

    `resources` are held until the stream has ended.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        asked: Asked,
        streams: Sequence[AnswerStream],
        texts: TokenTexts,
        tally: Tally,
        resources: ExitStack,
        delivery: Delivery,
    ) -> None:
        super().__init__()
        self._asked, self._streams, self._texts, self._tally = asked, streams, texts, tally
        self._resources, self._delivery = resources, delivery
        # The form of all chunks: what changes from one to the next is what is inside.
        self._head = "data: " + _json(asked.envelope(asked.form.chunk))[:-1] + ', "choices": ['
        self._send: Send = _nowhere
        self._began = self._sent = time.monotonic()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        self._send = send
        with self._resources:
            telling = asyncio.ensure_future(self._tell())
            others = [asyncio.ensure_future(work) for work in (client_gone(receive), self._pings())]
            try:
                await asyncio.wait([telling, *others], return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (telling, *others):
                    task.cancel()
                await asyncio.gather(telling, *others, return_exceptions=True)
                await self._close()
                self._tally.cancelled()  # of those that did not come to an end
            if not telling.cancelled():
                telling.result()

    async def _close(self) -> None:
        for stream in self._streams:
            await stream.aclose()

    async def _tell(self) -> None:
        await self._send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        try:
            async with asyncio.timeout_at(self._delivery.deadline):
                await together(self._tell_one(index, stream) for index, stream in enumerate(self._streams))
        except AparError as error:
            await self._fail(self._delivery.explain(self._asked, error))
        except TimeoutError:
            await self._fail(timed_out(round(time.monotonic() - self._began, 1)))
        else:
            await self._end([stream.answer for stream in self._streams])

    async def _tell_one(self, index: int, stream: AnswerStream) -> None:
        asked = self._asked
        telling = Telling(index, asked.form, self._texts, asked.params.stop, asked.logprobs)
        await self._chunk(asked.form.first(index))
        with self._delivery.pace.joined(stream) as rest:
            if asked.threads or asked.logprobs:
                await self._tell_pieces(telling, stream, rest)
            else:
                await self._tell_text(telling, stream, rest)
        await self._chunk(telling.rest())
        answer = stream.answer
        self._tally.answered(answer)
        await self._chunk(asked.form.last(index, answer.finish_reason), self._figures([answer], last=False))

    async def _tell_text(self, telling: Telling, stream: AnswerStream, rest: Rest) -> None:
        """Chunks that differ in their text alone, so all else is written once: there may be thousands a second."""
        mark = self._asked.id  # a text that is nothing else in a chunk
        before, after = self._line(_json(telling.piece_of(mark)), None).split(_json(mark).encode())
        while events := await stream.take():
            if text := telling.text(events):
                await self._body(b"%b%b%b" % (before, _json(text).encode(), after))
                await rest.take()

    async def _tell_pieces(self, telling: Telling, stream: AnswerStream, rest: Rest) -> None:
        while events := await stream.take():
            choice = telling.read(events)
            if self._asked.threads:
                told = [as_thread_event(event) for event in events]
                await self._chunk(choice or telling.piece_of(""), {"apar": {"events": told}})
            else:
                await self._chunk(choice)
            if choice is not None:
                await rest.take()

    async def _end(self, answers: Sequence[Answer]) -> None:
        data = _DONE
        if self._asked.include_usage:
            data = self._line("", {"usage": usage(answers), **self._figures(answers, last=True)}) + data
        await self._body(data, more=False)

    def _figures(self, answers: Sequence[Answer], last: bool) -> dict[str, Any]:
        """`metrics`, in the chunk with the usage if there is such a one, else in the last chunk of each answer."""
        if not self._asked.metrics or last != self._asked.include_usage:
            return {}
        return {"metrics": {"parallel": parallel(answers)}}

    async def _fail(self, error: ApiError) -> None:
        # First of all: a client that reads nothing would keep its answers going.
        await self._close()
        self._tally.failed()
        await self._body(f"data: {_json(error.body)}\n\n".encode(), more=False)

    async def _chunk(self, choice: dict[str, Any] | None, extra: dict[str, Any] | None = None) -> None:
        if choice is not None:
            await self._write(_json(choice), extra)

    async def _write(self, choice: str, extra: dict[str, Any] | None) -> None:
        await self._body(self._line(choice, extra))

    def _line(self, choice: str, extra: dict[str, Any] | None) -> bytes:
        if self._asked.include_usage and (extra is None or "usage" not in extra):
            extra = {"usage": None, **(extra or {})}  # as OpenAI does in all chunks but the last
        more = f", {_json(extra)[1:-1]}" if extra else ""
        return f"{self._head}{choice}]{more}}}\n\n".encode()

    async def _body(self, data: bytes, more: bool = True) -> None:
        self._sent = time.monotonic()
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def _pings(self) -> None:
        """Say something where nothing was said for long, so that nobody on the way takes the connection for dead."""
        while True:
            silence = time.monotonic() - self._sent
            if silence >= self._delivery.ping:
                await self._body(_PING)
            else:
                await asyncio.sleep(self._delivery.ping - silence)


def _json(value: object) -> str:
    return json.dumps(value, allow_nan=False)


async def _nowhere(message: Message) -> None:
    raise AssertionError("the response has not begun")
