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
from apar.server.chunk_builder import ChunkBuilder, thread_event
from apar.server.coalescing import SendCoalescer, StreamTimer
from apar.server.concurrency import gather_or_cancel, wait_for_disconnect
from apar.server.error_response import error_json
from apar.server.errors import ApiError, timed_out
from apar.server.metrics import RequestOutcome
from apar.server.parsed_request import ParsedRequest
from apar.server.protocol.answers import ResponseModel
from apar.server.protocol.chunks import ThreadEvents
from apar.server.usage import answer_metrics, usage

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
    the server share, and how an error is explained to the client.
    """

    deadline: float
    ping: float
    coalescer: SendCoalescer
    explain: Callable[[ParsedRequest, AparError], ApiError]


class AnswerResponse(Response):
    """Streams the answers of a request. When the client disconnects, they are cancelled, and their blocks are free.

    `resources` are held until the stream has ended.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        request: ParsedRequest,
        streams: Sequence[AnswerStream],
        outcome: RequestOutcome,
        resources: ExitStack,
        delivery: Delivery,
    ) -> None:
        super().__init__()
        self._request, self._streams, self._outcome = request, streams, outcome
        self._resources, self._delivery = resources, delivery
        # As OpenAI does in all chunks but the last.
        self._usage = {"usage": None} if request.include_usage else {}
        self._send: Send = _nowhere
        self._began = self._sent = time.monotonic()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        self._send = send
        with self._resources:
            sending = asyncio.ensure_future(self._send_all())
            others = [asyncio.ensure_future(work) for work in (wait_for_disconnect(receive), self._ping())]
            try:
                await asyncio.wait([sending, *others], return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (sending, *others):
                    task.cancel()
                await asyncio.gather(sending, *others, return_exceptions=True)
                await self._close()
                self._outcome.cancelled()  # of those that did not come to an end
            if not sending.cancelled():
                sending.result()

    async def _close(self) -> None:
        for stream in self._streams:
            await stream.aclose()

    async def _send_all(self) -> None:
        await self._send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        try:
            async with asyncio.timeout_at(self._delivery.deadline):
                await gather_or_cancel(self._send_answer(index, stream) for index, stream in enumerate(self._streams))
        except AparError as error:
            await self._fail(self._delivery.explain(self._request, error))
        except TimeoutError:
            await self._fail(timed_out(round(time.monotonic() - self._began, 1)))
        else:
            await self._end([stream.answer for stream in self._streams])

    async def _send_answer(self, index: int, stream: AnswerStream) -> None:
        request = self._request
        builder = ChunkBuilder(index, request.format, request.params.stop, request.logprobs)
        await self._send_chunk(request.format.first(index))
        with self._delivery.coalescer.timer(stream) as timer:
            if request.threads or request.logprobs:
                await self._send_pieces(builder, stream, timer)
            else:
                await self._send_text(builder, stream, timer)
        await self._send_chunk(builder.rest())
        answer = stream.answer
        self._outcome.answered(answer)
        last = request.format.piece(index, "", reason=answer.finish_reason)
        await self._send_chunk(last, **self._metrics([answer], last=False))

    async def _send_text(self, builder: ChunkBuilder, stream: AnswerStream, timer: StreamTimer) -> None:
        """Chunks that differ in their text alone, so all else is written once: there may be thousands a second."""
        mark = self._request.id  # a text that is nothing else in a chunk
        before, after = self._line(builder.piece_of(mark), **self._usage).split(json.dumps(mark).encode())
        while events := await stream.take():
            if text := builder.text(events):
                await self._send_body(b"%b%b%b" % (before, json.dumps(text).encode(), after))
                await timer.wait()

    async def _send_pieces(self, builder: ChunkBuilder, stream: AnswerStream, timer: StreamTimer) -> None:
        while events := await stream.take():
            choice = builder.read(events)
            if self._request.threads:
                threads = ThreadEvents(events=[thread_event(event) for event in events])
                await self._send_chunk(choice or builder.piece_of(""), apar=threads)
            else:
                await self._send_chunk(choice)
            if choice is not None:
                await timer.wait()

    async def _end(self, answers: Sequence[Answer]) -> None:
        data = _DONE
        if self._request.include_usage:
            data = self._line(usage=usage(answers), **self._metrics(answers, last=True)) + data
        await self._send_body(data, more=False)

    def _metrics(self, answers: Sequence[Answer], last: bool) -> dict[str, Any]:
        """`metrics`, in the chunk with the usage if there is such a one, else in the last chunk of each answer."""
        if not self._request.metrics or last != self._request.include_usage:
            return {}
        return {"metrics": answer_metrics(answers)}

    async def _fail(self, error: ApiError) -> None:
        # First of all: a client that reads nothing would keep its answers going.
        await self._close()
        self._outcome.failed()
        await self._send_body(b"data: %b\n\n" % error_json(error), more=False)

    async def _send_chunk(self, choice: ResponseModel | None, **fields: Any) -> None:
        if choice is not None:
            await self._send_body(self._line(choice, **self._usage, **fields))

    def _line(self, *choices: ResponseModel, **fields: Any) -> bytes:
        chunk = self._request.format.chunk(**self._request.envelope, choices=choices, **fields)
        return b"data: %b\n\n" % chunk.json_bytes()

    async def _send_body(self, data: bytes, more: bool = True) -> None:
        self._sent = time.monotonic()
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def _ping(self) -> None:
        """Send something after a long silence, so that nobody on the way takes the connection for dead."""
        while True:
            silence = time.monotonic() - self._sent
            if silence >= self._delivery.ping:
                await self._send_body(_PING)
            else:
                await asyncio.sleep(self._delivery.ping - silence)


async def _nowhere(message: Message) -> None:
    raise AssertionError("the response has not begun")
