"""The routes for those who run the server: health, figures, version."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from apar.server.metrics import Metrics
from apar.server.protocol.answers import HealthReport, Version
from apar.server.served_model import ServedModel
from apar.server.settings import ServerSettings


def operation_routes(settings: ServerSettings, served: ServedModel, metrics: Metrics) -> APIRouter:
    """Routes that want no API key."""
    router = APIRouter(tags=["Operation"])

    @router.get("/health", response_model=HealthReport, responses={503: {"model": HealthReport}})
    async def health() -> JSONResponse:
        """200 where answers are given; 503 with the reason while the model is loaded, has failed, or at the end."""
        served.look()
        status, report = served.health.report()
        return JSONResponse(report.to_dict(), status)

    @router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def figures(request: Request) -> Response:
        """The server's figures in Prometheus' form."""
        body, media_type = metrics.render(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": media_type})

    @router.get("/version", response_model=Version)
    async def versions() -> Version:
        """What this server is."""
        return Version(version=settings.version, backend=settings.backend, model=settings.model)

    return router
