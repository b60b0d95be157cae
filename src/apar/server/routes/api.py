"""The routes of OpenAI's API."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.security import HTTPBearer
from starlette.responses import JSONResponse, Response

from apar.server.errors import unknown_model
from apar.server.protocol.answers import ChatCompletion, Completion, Error, Model, Models
from apar.server.protocol.chat import ChatRequest
from apar.server.protocol.chunks import ChatChunk, Chunk, CompletionChunk, stream_of
from apar.server.protocol.completion import CompletionRequest
from apar.server.service import CompletionService

_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Error, "description": "The request is wrong, or asks for what is not supported."},
    401: {"model": Error, "description": "The API key is missing or wrong."},
    404: {"model": Error, "description": "There is no such model."},
    429: {"model": Error, "description": "Too many answers are under way; Retry-After says when to come again."},
    503: {"model": Error, "description": "The model is being loaded, has failed, or the server is stopping."},
}
_SENDING: dict[int | str, dict[str, Any]] = {
    408: {"model": Error, "description": "The body did not come in time."},
    413: {"model": Error, "description": "The body is too large."},
    415: {"model": Error, "description": "The body is not JSON."},
    500: {"model": Error, "description": "The engine failed while it answered."},
    504: {"model": Error, "description": "The answer took too long."},
}


def api_routes(service: CompletionService, keyed: bool) -> APIRouter:
    """Chats, completions and models. If the server is `keyed`, all of them want the API key.

    That is seen to before a request comes here (see `KeyCheck`); here it is only described.
    """
    key = [Depends(HTTPBearer(auto_error=False, description="The API key of the server."))] if keyed else []
    router = APIRouter(
        prefix="/v1", tags=["API"], responses=_REFUSALS, default_response_class=JSONResponse, dependencies=key
    )

    @router.post("/chat/completions", response_model=ChatCompletion, responses=_streaming(ChatChunk))
    async def chat_completions(body: ChatRequest, request: Request) -> Response:
        """Go on with a chat: one JSON object, or with `stream` server-sent events."""
        return await service.answer(body, request)

    @router.post("/completions", response_model=Completion, responses=_streaming(CompletionChunk))
    async def completions(body: CompletionRequest, request: Request) -> Response:
        """Go on from texts, without a chat template."""
        return await service.answer(body, request)

    @router.get("/models", response_model=Models)
    async def models() -> Models:
        """The one model that is served."""
        return Models(object="list", data=[_model(service)])

    @router.get("/models/{name:path}", response_model=Model)
    async def model(name: str) -> Model:
        """The model of a name."""
        if name != service.served.name:
            raise unknown_model(name, service.served.name)
        return _model(service)

    return router


def _streaming(chunk: type[Chunk]) -> dict[int | str, dict[str, Any]]:
    return {**_SENDING, 200: {"content": stream_of(chunk)}}


def _model(service: CompletionService) -> Model:
    served = service.served
    return Model(
        id=served.name,
        object="model",
        created=served.created,
        owned_by="apar",
        max_model_len=served.backend.context,
    )
