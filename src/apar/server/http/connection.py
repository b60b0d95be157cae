"""uvicorn's HTTP connection with bounds: none waits for ever for a client that sends or reads nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from apar.server.error_response import error_json
from apar.server.errors import INVALID, SERVER, ApiError
from apar.server.settings import ServerLimits

_REFUSED_SECONDS = 2.0


class HttpConfig(uvicorn.Config):
    """uvicorn's configuration with our connections and their limits."""

    def __init__(self, app: Any, limits: ServerLimits, access_log: bool = False) -> None:
        super().__init__(
            app,
            http=BoundedConnection,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=access_log,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=limits.idle_seconds,
        )
        self.limits = limits


class BoundedConnection(HttpToolsProtocol):
    """Its server calls `sweep` about once a second.

    uvicorn itself bounds only the time between two requests (`timeout_keep_alive`) and the requests under way
    (`limit_concurrency`). The rest overrides parts of it that are not public: see tests/server/http/test_uvicorn.py.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        assert isinstance(config, HttpConfig)
        self._limits = config.limits
        self._head_bytes = 0
        self._ignores_input = False
        # Times of the loop, None while it is not so: since when a request's head is due, the client reads too
        # slowly, it was refused, and the connection that was closed has something left to send.
        self._head_since: float | None = None
        self._unread_since: float | None = None
        self._refused_since: float | None = None
        self._closing_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_since = self.loop.time()
        if len(self.connections) > self._limits.connections:
            self._refuse(503, "the server has as many connections as it takes; try again later")
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        if self._ignores_input:
            return
        if self._head_since is None and self._idle:
            self._head_since = self.loop.time()
        if self._head_since is not None:
            self._head_bytes += len(data)
        self._parse(data)
        if self._head_since is not None and self._head_bytes > self._limits.head:
            self._refuse_head()

    def on_headers_complete(self) -> None:
        self._head_since, self._head_bytes = None, 0
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > self._limits.head:
            self._refuse_head()
            raise ValueError("the head is too large")  # the parser goes no further
        if not self._offers_upgrade:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        if not self._offers_upgrade:
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "this is not a valid HTTP request")

    def pause_writing(self) -> None:
        self._unread_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._unread_since = None
        super().resume_writing()

    def sweep(self, now: float) -> None:
        """Give up on a client that has kept the connection waiting too long."""
        limits = self._limits
        if self.transport.is_closing() and self._closing_since is None:
            self._closing_since = now
        if _past(self._closing_since, limits.unread_seconds, now) or _past(
            self._unread_since, limits.unread_seconds, now
        ):
            self.transport.abort()
        elif _past(self._refused_since, _REFUSED_SECONDS, now):
            self.transport.close()
        elif _past(self._head_since, limits.head_seconds, now):
            if self._head_bytes:
                self._refuse(408, f"the request's head did not come within {limits.head_seconds:g} seconds")
            else:
                self.transport.close()

    def end(self) -> None:
        """Close the connection, and drop what its client does not read."""
        if self.transport.is_closing() or self._unread_since is not None:
            self.transport.abort()
        else:
            self.transport.close()

    @property
    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    @property
    def _offers_upgrade(self) -> bool:
        """Whether the request could go on in another protocol. What is a CONNECT can only do that."""
        upgrades: bool = self.parser.should_upgrade()
        return upgrades and self.parser.get_method() != b"CONNECT"

    def _parse(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        while data:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as end:
                data = self._without_upgrade() + data[end.args[0] :] if self._offers_upgrade else b""
            except httptools.HttpParserError as error:
                self.send_400_response(str(error))
                return

    def _without_upgrade(self) -> bytes:
        """The request's head without its offer, for a new parser: the one that read the offer reads no body."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        lines = [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
        return b"%b %b HTTP/%b\r\n%b\r\n" % (method, self.url, version, b"".join(lines))

    def _refuse_head(self) -> None:
        self._refuse(431, f"the request's head is too large; at most {self._limits.head} bytes are taken")

    def _refuse(self, status: int, message: str) -> None:
        """Read nothing more from this client, and say what is wrong unless a response is under way."""
        if self._ignores_input:
            return
        self._ignores_input = True
        self._head_since = None
        if self._idle:
            self._send_error(status, message)
        elif self.cycle.more_body:  # which cannot come any more
            self.transport.close()
        else:
            self.cycle.keep_alive = False

    def _send_error(self, status: int, message: str) -> None:
        body = error_json(ApiError(status, message, SERVER if status >= 500 else INVALID))
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[status] + head + body)
        # Closing now could reset the connection, and the client would lose the message.
        self.transport.write_eof()
        self._refused_since = self.loop.time()


def _past(since: float | None, seconds: float, now: float) -> bool:
    return since is not None and now - since > seconds
