"""Where requests are answered: a place is found for them, the backend is asked, and what comes is told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from apar.backends.streams import AnswerEvents, Backend
from apar.engine.answer import Answer
from apar.errors import AparError, RequestError
from apar.server.asked import Asked
from apar.server.errors import of_apar, timed_out, unknown_model
from apar.server.metrics import Metrics
from apar.server.pace import Pace
from apar.server.places import Places
from apar.server.presence import ClientGoneError, unless_gone
from apar.server.protocol.chat import ChatRequest
from apar.server.protocol.completion import CompletionRequest
from apar.server.settings import Settings
from apar.server.state import Served
from apar.server.stream import AnswerResponse
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
        with ExitStack() as stack:
            asked = _checked(lambda: read(backend), backend.context)
            self._take_places(stack, asked.answers)
            if body.user is not None:
                logger.info("request %s is of user %r", asked.id, body.user)
            if body.stream:
                return await self._stream(asked, backend, stack, request)
            return await self._whole(asked, backend, request)

    def _take_places(self, stack: ExitStack, count: int) -> None:
        stack.enter_context(self.places.take(count))
        for _ in range(count):
            self.metrics.opened()
            stack.callback(self.metrics.closed)

    async def _stream(self, asked: Asked, backend: Backend, stack: ExitStack, request: Request) -> Response:
        async with self._for_client(asked):
            streams: list[AnswerEvents] = []
            for prompt in asked.prompts:
                streams += await backend.ask(prompt, asked.params)
        settings = self._settings
        return AnswerResponse(
            asked, streams, self.served.texts, self.metrics, stack.pop_all(), settings.request_seconds,
            settings.ping_seconds, self._pace,
        )  # fmt: skip

    async def _whole(self, asked: Asked, backend: Backend, request: Request) -> Response:
        try:
            async with self._for_client(asked), asyncio.timeout(self._settings.request_seconds):
                answers = await unless_gone(request.receive, backend.generate(asked.prompts, asked.params))
        except ClientGoneError:
            for _ in range(asked.answers):
                self.metrics.cancelled()
            return Response(status_code=CLIENT_GONE)
        for answer in answers:
            self.metrics.answered(answer)
        return JSONResponse(self._body(asked, answers))

    def _body(self, asked: Asked, answers: Sequence[Answer]) -> dict[str, Any]:
        texts = self.served.texts
        choices = [asked.form.answer(index, answer, asked.logprobs, texts) for index, answer in enumerate(answers)]
        metrics = {"metrics": {"parallel": parallel(answers)}} if asked.metrics else {}
        return {**asked.envelope(asked.form.whole), "choices": choices, "usage": usage(answers), **metrics}

    @asynccontextmanager
    async def _for_client(self, asked: Asked) -> AsyncIterator[None]:
        """What goes wrong with the backend, as errors of the API; what is not the client's fault is logged."""
        try:
            yield
        except TimeoutError:
            self.metrics.failed()
            raise timed_out(self._settings.request_seconds) from None
        except AparError as error:
            told = of_apar(error)
            if told.status >= 500:
                self.metrics.failed()
                logger.error("request %s failed: %s", asked.id, error, exc_info=error.__cause__)
            raise told from None


def _checked(read: Callable[[], Asked], context: int) -> Asked:
    try:
        asked = read()
        asked.check_size(context)
    except RequestError as error:
        raise of_apar(error) from None
    return asked
