"""Counting what becomes of requests, whoever answers them."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from apar.server.metrics import Metrics, Reason

_REASONS: dict[int, Reason] = {
    400: "request",
    401: "key",
    404: "path",
    405: "path",
    408: "slow",
    413: "large",
    415: "type",
    421: "request",
    429: "busy",
    503: "unready",
}
_API = "/v1"


class RequestMetrics:
    """Counts every request by its path and status, and those to the API that were refused by their reason."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]

        async def count(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._count(path, message["status"])
            await send(message)

        await self._app(scope, receive, count)

    def _count(self, path: str, status: int) -> None:
        self._metrics.request(path, status)
        if path.startswith(_API) and status in _REASONS:
            self._metrics.refused(_REASONS[status])
