"""Everything between a connection and the application: origins, hosts, keys, bounds, and failures that tell nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from apar.server.body import BodyLimit
from apar.server.errors import FAILED, SERVER, ApiError
from apar.server.hosts import HostCheck
from apar.server.keys import KeyCheck
from apar.server.limits import Limits
from apar.server.refusals import error_json, tell

logger = logging.getLogger("apar.server")

_HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
}
_STOPPING = ApiError(
    503, "the server is stopping; this answer was cancelled", SERVER, code="stopping", headers={"Retry-After": "5"}
)


def guard(
    app: ASGIApp,
    limits: Limits,
    key: str | None = None,
    origins: Sequence[str] = (),
    hosts: Collection[str] | None = None,
) -> ASGIApp:
    """The application behind all its guards. `origins` are those whose pages may ask, ["*"] for all.

    `hosts` are the names by which it may be asked, None for all.
    Refused requests carry the headers for other origins too, and a browser's question beforehand needs no key.
    """
    app = BodyLimit(app, limits.body, limits.body_seconds, limits.bodies)
    if key is not None:
        app = KeyCheck(app, key)
    if hosts is not None:
        app = HostCheck(app, hosts)
    app = Failures(app)
    if origins:
        app = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=["Retry-After"],
        )
    return app


class Failures:
    """Answers an application's unexpected error by status 500 without details, or by an event in mid-stream.

    The log has the details. Where the task is cancelled the client is told that the server stops. All responses
    get headers that tell browsers to be careful with them.
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
        """Tell an error; what is half told and no stream of events is left so, and the server cuts it."""
        if not self._started:
            await tell(self.send, error)
        elif self._streams and not self._complete:
            await self.send({"type": "http.response.body", "body": b"data: %b\n\n" % error_json(error)})
