"""Where requests are answered: a place is found for them, the backend is asked, and what comes is told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from apar.backends.backend import AnswerStream, Backend
from apar.decoding.answer import Answer
from apar.errors import AparError, RequestError
from apar.server.asked import Asked
from apar.server.errors import ApiError, behind, of_apar, timed_out, unknown_model
from apar.server.metrics import Metrics
from apar.server.pace import Pace
from apar.server.places import Places
from apar.server.presence import ClientGoneError, unless_gone
from apar.server.protocol.chat import ChatRequest
from apar.server.protocol.completion import CompletionRequest
from apar.server.settings import REMOTE, Settings
from apar.server.state import Served
from apar.server.stream import AnswerResponse, Delivery
from apar.server.tally import Tally
from apar.server.together import together
from apar.server.usage import parallel, usage

logger = logging.getLogger("apar.server")

CLIENT_GONE = 499
"""A status that nobody reads: the client has closed the connection."""


class Desk:
    """Answers the requests to one model."""

    def __init__(self, settings: Settings, served: Served, metrics: Metrics) -> None:
        self.served, self.metrics = served, metrics
        self.places = Places(settings.max_open)
        self._settings = settings
        self._pace = Pace()

    async def chat(self, body: ChatRequest, request: Request) -> Response:
        """Answer a chat; raises ApiError."""
        return await self._answer(body, lambda backend: Asked.chat(body, backend), request)

    async def completion(self, body: CompletionRequest, request: Request) -> Response:
        """Go on from prompts; raises ApiError."""
        return await self._answer(body, lambda backend: Asked.completion(body, backend), request)

    async def _answer(
        self, body: ChatRequest | CompletionRequest, read: Callable[[Backend], Asked], request: Request
    ) -> Response:
        backend = self.served.backend
        if body.model != self.served.name:
            raise unknown_model(body.model, self.served.name)
        deadline = asyncio.get_running_loop().time() + self._settings.request_seconds
        with ExitStack() as stack:
            asked = _checked(lambda: read(backend), backend.context)
            self._take_places(stack, asked.answers)
            if body.user is not None:
                logger.info("request %s is of user %r", asked.id, body.user)
            tally = Tally(self.metrics, asked.answers)
            try:
                streams = await self._begin(asked, body.stream, deadline, request)
                if body.stream:
                    delivery = Delivery(deadline, self._settings.ping_seconds, self._pace, self._explain)
                    return AnswerResponse(asked, streams, self.served.texts, tally, stack.pop_all(), delivery)
                return await self._whole(asked, streams, deadline, tally, request)
            except ClientGoneError:
                tally.cancelled()
                return Response(status_code=CLIENT_GONE)

    def _take_places(self, stack: ExitStack, count: int) -> None:
        stack.enter_context(self.places.take(count))
        for _ in range(count):
            self.metrics.opened()
            stack.callback(self.metrics.closed)

    async def _begin(self, asked: Asked, streaming: bool, deadline: float, request: Request) -> Sequence[AnswerStream]:
        """Ask the backend; what it refuses before anything runs is the client's fault."""
        asking = self.served.backend.ask(asked.prompts, asked.params, whole=not streaming)
        try:
            async with asyncio.timeout_at(deadline):
                return await unless_gone(request.receive, asking)
        except TimeoutError:
            raise timed_out(self._settings.request_seconds) from None
        except AparError as error:
            raise self._told(asked, error, of_apar(error)) from None

    async def _whole(
        self, asked: Asked, streams: Sequence[AnswerStream], deadline: float, tally: Tally, request: Request
    ) -> Response:
        try:
            async with asyncio.timeout_at(deadline):
                answers = await unless_gone(request.receive, together(map(_answer_of, streams)))
        except TimeoutError:
            tally.failed()
            raise timed_out(self._settings.request_seconds) from None
        except AparError as error:
            tally.failed()
            raise self._explain(asked, error) from None
        finally:
            for stream in streams:
                await stream.aclose()
        for answer in answers:
            tally.answered(answer)
        return JSONResponse(self._body(asked, answers))

    def _body(self, asked: Asked, answers: Sequence[Answer]) -> dict[str, Any]:
        texts = self.served.texts
        choices = [asked.form.answer(index, answer, asked.logprobs, texts) for index, answer in enumerate(answers)]
        metrics = {"metrics": {"parallel": parallel(answers)}} if asked.metrics else {}
        return {**asked.envelope(asked.form.whole), "choices": choices, "usage": usage(answers), **metrics}

    def _explain(self, asked: Asked, error: AparError) -> ApiError:
        """What went wrong while answers were decoded, for the client; what is not its fault is logged."""
        remote = self._settings.backend == REMOTE
        return self._told(asked, error, behind(error) if remote else of_apar(error))

    def _told(self, asked: Asked, error: AparError, told: ApiError) -> ApiError:
        if told.status >= 500:
            logger.error("request %s failed: %s", asked.id, error, exc_info=error.__cause__)
        return told


async def _answer_of(stream: AnswerStream) -> Answer:
    while await stream.take():
        pass
    return stream.answer


def _checked(read: Callable[[], Asked], context: int) -> Asked:
    try:
        asked = read()
        asked.check_size(context)
    except RequestError as error:
        raise of_apar(error) from None
    return asked
