"""Where requests are answered: they are admitted, the backend is asked, and its answers become responses."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import ExitStack

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from apar.backends.backend import AnswerStream
from apar.decoding.answer import Answer
from apar.errors import AparError, RequestError
from apar.server.admission import AdmissionLimit
from apar.server.coalescing import SendCoalescer
from apar.server.concurrency import ClientDisconnectedError, cancel_on_disconnect, gather_or_cancel
from apar.server.errors import ApiError, of_apar, timed_out, unknown_model, upstream_error
from apar.server.metrics import Metrics, RequestOutcome
from apar.server.parsed_request import ParsedRequest
from apar.server.protocol.answers import ResponseModel
from apar.server.protocol.chat import ChatRequest
from apar.server.protocol.completion import CompletionRequest
from apar.server.response_format import placed_logprobs
from apar.server.served_model import ServedModel
from apar.server.settings import REMOTE, ServerSettings
from apar.server.stream import AnswerResponse, Delivery
from apar.server.usage import answer_metrics, usage

logger = logging.getLogger("apar.server")

CLIENT_GONE = 499
"""A status that nobody reads: the client has closed the connection."""


class CompletionService:
    """Answers the requests to one model."""

    def __init__(self, settings: ServerSettings, served: ServedModel, metrics: Metrics) -> None:
        self.served, self.metrics = served, metrics
        self._admission = AdmissionLimit(settings.max_open)
        self._settings = settings
        self._coalescer = SendCoalescer()

    async def answer(self, body: ChatRequest | CompletionRequest, http_request: Request) -> Response:
        """Answer a chat, or go on from prompts; raises ApiError."""
        backend = self.served.backend
        if body.model != self.served.name:
            raise unknown_model(body.model, self.served.name)
        deadline = asyncio.get_running_loop().time() + self._settings.request_seconds
        with ExitStack() as stack:
            try:
                settings = self._settings
                request = ParsedRequest.of(
                    body, backend, self.served.texts, settings.forking, settings.max_parallel_threads
                )
            except RequestError as error:
                raise of_apar(error) from None
            self._admit(stack, request.num_answers)
            if body.user is not None:
                logger.info("request %s is of user %r", request.id, body.user)
            outcome = RequestOutcome(self.metrics, request.num_answers)
            try:
                streams = await self._begin(request, body.stream, deadline, http_request)
                if body.stream:
                    delivery = Delivery(deadline, self._settings.ping_seconds, self._coalescer, self._explain)
                    return AnswerResponse(request, streams, outcome, stack.pop_all(), delivery)
                return await self._whole(request, streams, deadline, outcome, http_request)
            except ClientDisconnectedError:
                outcome.cancelled()
                return Response(status_code=CLIENT_GONE)

    def _admit(self, stack: ExitStack, count: int) -> None:
        stack.enter_context(self._admission.admit(count))
        for _ in range(count):
            self.metrics.opened()
            stack.callback(self.metrics.closed)

    async def _begin(
        self, request: ParsedRequest, streaming: bool, deadline: float, http_request: Request
    ) -> Sequence[AnswerStream]:
        """Ask the backend; what it refuses before anything runs is the client's fault."""
        asking = self.served.backend.ask(request.prompts, request.params, whole=not streaming)
        try:
            async with asyncio.timeout_at(deadline):
                return await cancel_on_disconnect(http_request.receive, asking)
        except TimeoutError:
            raise timed_out(self._settings.request_seconds) from None
        except AparError as error:
            raise _logged(request, error, of_apar(error)) from None

    async def _whole(
        self,
        request: ParsedRequest,
        streams: Sequence[AnswerStream],
        deadline: float,
        outcome: RequestOutcome,
        http_request: Request,
    ) -> Response:
        try:
            async with asyncio.timeout_at(deadline):
                answers = await cancel_on_disconnect(http_request.receive, gather_or_cancel(map(_answer_of, streams)))
        except TimeoutError:
            outcome.failed()
            raise timed_out(self._settings.request_seconds) from None
        except AparError as error:
            outcome.failed()
            raise self._explain(request, error) from None
        finally:
            for stream in streams:
                await stream.aclose()
        for answer in answers:
            outcome.answered(answer)
        return JSONResponse(_completion(request, answers).to_dict())

    def _explain(self, request: ParsedRequest, error: AparError) -> ApiError:
        """What went wrong while answers were decoded, for the client; what is not its fault is logged."""
        remote = self._settings.backend == REMOTE
        return _logged(request, error, upstream_error(error) if remote else of_apar(error))


def _completion(request: ParsedRequest, answers: Sequence[Answer]) -> ResponseModel:
    choices = [
        request.format.choice(index, answer, placed_logprobs(answer) if request.logprobs else None)
        for index, answer in enumerate(answers)
    ]
    metrics = {"metrics": answer_metrics(answers)} if request.metrics else {}
    return request.format.completion(**request.envelope, choices=choices, usage=usage(answers), **metrics)


def _logged(request: ParsedRequest, error: AparError, response: ApiError) -> ApiError:
    """The response to an error, which is logged unless the client made it."""
    if response.status >= 500:
        logger.error("request %s failed: %s", request.id, error, exc_info=error.__cause__)
    return response


async def _answer_of(stream: AnswerStream) -> Answer:
    while await stream.take():
        pass
    return stream.answer
