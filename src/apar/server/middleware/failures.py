"""Unexpected errors of the application, as responses that give nothing away."""

from __future__ import annotations

import asyncio
import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from apar.server.error_response import error_json, send_error
from apar.server.errors import FAILED, SERVER, ApiError

logger = logging.getLogger("apar.server")

_HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
}
_STOPPING = ApiError(
    503, "the server is stopping; this answer was cancelled", SERVER, code="stopping", headers={"Retry-After": "5"}
)


class Failures:
    """Answers an application's unexpected error by status 500 without details, or by an event in mid-stream.

    The log has the details. Where the task is cancelled the client learns that the server stops. All responses
    get headers that make browsers careful with them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        response = _Response(send)
        try:
            await self._app(scope, receive, response.send)
        except asyncio.CancelledError:
            await response.end(_STOPPING)
            raise
        except Exception:
            logger.exception("%s %s failed", scope["method"], scope["path"])
            await response.end(FAILED)


class _Response:
    """A response on its way, which can be ended as well as possible at any point."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._started = self._streams = self._complete = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._started = True
            message["headers"] = headers = list(message.get("headers", ()))
            named = {name.lower(): value for name, value in headers}
            self._streams = named.get(b"content-type", b"").startswith(b"text/event-stream")
            headers += [(name, value) for name, value in _HEADERS.items() if name not in named]
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            self._complete = True
        await self._send(message)

    async def end(self, error: ApiError) -> None:
        """Send an error; a response that has begun and is no stream of events is left so, and the server cuts it."""
        if not self._started:
            await send_error(self.send, error)
        elif self._streams and not self._complete:
            await self.send({"type": "http.response.body", "body": b"data: %b\n\n" % error_json(error)})
