"""Requests' bodies within bounds of size and time."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from apar.server.errors import ApiError
from apar.server.refusals import has_body, refuse


class _TooLargeError(Exception):
    pass


class BodyLimit:
    """Reads a request's body, and gives it to the application whole; 413 for too large a one, 408 for a slow one.

    `size` is in bytes, `seconds` counts from the end of the request's head.
    """

    def __init__(self, app: ASGIApp, size: int, seconds: float) -> None:
        self._app, self._size, self._seconds = app, size, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not has_body(scope):
            await self._app(scope, receive, send)
            return
        try:
            if _declared(scope) > self._size:
                raise _TooLargeError
            async with asyncio.timeout(self._seconds):
                body = await self._read(receive)
        except _TooLargeError:
            message = f"the body of the request is too large; at most {self._size} bytes are taken"
            await refuse(scope, receive, send, ApiError(413, message, code="body_too_large"))
        except TimeoutError:
            message = f"the body of the request did not come within {self._seconds:g} seconds"
            await refuse(scope, receive, send, ApiError(408, message, code="body_too_slow"))
        else:
            if body is not None:
                await self._app(scope, _with_body(body, receive), send)

    async def _read(self, receive: Receive) -> bytes | None:
        """The body; None where the client has left."""
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return None
            body += message.get("body", b"")
            if len(body) > self._size:
                raise _TooLargeError
            if not message.get("more_body", False):
                return bytes(body)


def _declared(scope: Scope) -> int:
    """The length that the head tells, 0 without any. Whether it is a number the parser has seen to."""
    return next((int(value) for name, value in scope["headers"] if name == b"content-length"), 0)


def _with_body(body: bytes, receive: Receive) -> Receive:
    """Gives the body once, then whatever else comes."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_body() -> Message:
        return waiting.pop() if waiting else await receive()

    return receive_body
