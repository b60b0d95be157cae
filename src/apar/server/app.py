"""The application: OpenAI's API over a backend, its description, its figures, and the page."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from apar.backends.backend import Backend
from apar.decoding.statistics import EngineStatistics
from apar.server.errors import FAILED, ApiError
from apar.server.health import Health
from apar.server.metrics import Metrics
from apar.server.middleware import guard
from apar.server.middleware.request_metrics import RequestMetrics
from apar.server.protocol.chunks import chunk_schemas
from apar.server.protocol.validation_errors import validation_error
from apar.server.routes.api import api_routes
from apar.server.routes.operations import operation_routes
from apar.server.routes.static import page_routes
from apar.server.served_model import ServedModel
from apar.server.service import CompletionService
from apar.server.settings import ServerLimits, ServerSettings


def make_app(
    settings: ServerSettings, load: Callable[[], Backend], health: Health | None = None, keyed: bool = False
) -> FastAPI:
    """The application that answers by the backend that `load` makes.

    Loading begins with the application's lifespan, in a thread of its own; until it ends the API answers 503, and
    `health` has how it went. A `keyed` server says that its API wants a key.
    """
    metrics = Metrics(settings.backend, settings.model, settings.version)
    served = ServedModel(settings.model, load, health or Health(), lambda backend: _watch(metrics, backend))
    service = CompletionService(settings, served, metrics)
    app = _Application(
        title="APAR",
        version=settings.version,
        description=(
            "OpenAI's API. Answers are decoded in parallel threads where the model forks, and given in reading order. "
            "What is asked for and not supported is an error."
        ),
        lifespan=lambda app: _lifespan(served),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    for routes in (api_routes(service, keyed), operation_routes(settings, served, metrics), page_routes()):
        app.include_router(routes)
    app.add_exception_handler(ApiError, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse)
    app.add_exception_handler(HTTPException, _refuse)
    app.add_exception_handler(Exception, _fail)
    app.state.service = service
    app.served = settings.model
    return app


class _Application(FastAPI):
    """FastAPI's, whose description has the chunks of streams too.

    It is without the status 422, which is never given: what is wrong with a body is a 400.
    """

    served = ""
    """The model's name, for examples that work."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            described = super().openapi()
            for path in described["paths"].values():
                for operation in path.values():
                    operation["responses"].pop("422", None)
            schemas = described["components"]["schemas"]
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            schemas.update(chunk_schemas())
            example = {"model": self.served, "max_tokens": 64}
            turns = [{"role": "user", "content": "Give me three tips for sleeping better."}]
            schemas["ChatRequest"]["examples"] = [{**example, "messages": turns}]
            schemas["CompletionRequest"]["examples"] = [{**example, "prompt": "The Danube is"}]
        return super().openapi()


def guarded_app(
    settings: ServerSettings,
    load: Callable[[], Backend],
    health: Health,
    limits: ServerLimits,
    key: str | None = None,
    origins: Sequence[str] = (),
    hosts: Collection[str] | None = None,
) -> ASGIApp:
    """The application behind its guards, every request counted; raises UserError for a key that nobody can send."""
    app = make_app(settings, load, health, keyed=key is not None)
    return RequestMetrics(guard(app, limits, key, origins, hosts), app.state.service.metrics)


def _watch(metrics: Metrics, backend: Backend) -> None:
    def statistics() -> EngineStatistics:
        now = backend.statistics()
        assert now is not None, "it had some before"
        return now

    if backend.statistics() is not None:
        metrics.watch(statistics)


@contextlib.asynccontextmanager
async def _lifespan(served: ServedModel) -> AsyncIterator[None]:
    living = asyncio.create_task(served.live())
    try:
        yield
    finally:
        living.cancel()
        served.close()


async def _refuse(request: Request, error: Exception) -> JSONResponse:
    refusal = _api_error(error, request)
    return JSONResponse(refusal.body, refusal.status, refusal.headers)


async def _fail(request: Request, error: Exception) -> JSONResponse:
    """The error is raised again behind this answer, and logged."""
    return JSONResponse(FAILED.body, FAILED.status)


def _api_error(error: Exception, request: Request) -> ApiError:
    if isinstance(error, ApiError):
        return error
    if isinstance(error, RequestValidationError):
        return validation_error(error.errors())
    assert isinstance(error, HTTPException)
    headers = error.headers or {}
    match error.status_code:
        case 404:
            return ApiError(404, f"there is nothing at {request.url.path[:200]}", code="not_found")
        case 405:
            message = f"{request.url.path[:200]} does not take {request.method}"
            return ApiError(405, message, code="method_not_allowed", headers=headers)
        case 400:
            return ApiError(400, "the body cannot be read: send a JSON object in UTF-8")
    return ApiError(error.status_code, str(error.detail), headers=headers)
