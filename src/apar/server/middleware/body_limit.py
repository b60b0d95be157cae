"""Requests' bodies within bounds of size and time."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from apar.server.error_response import has_body, refuse
from apar.server.errors import ApiError, unavailable


class BodyLimit:
    """Reads a request's body, and gives it to the application whole; 413 for too large a one, 408 for a slow one.

    `size` is in bytes, `seconds` counts from the end of the request's head. The bodies of all requests that are not
    answered yet have at most `together` bytes; the request that would bring more gets 503.
    """

    def __init__(self, app: ASGIApp, size: int, seconds: float, together: int) -> None:
        self._app, self._size, self._seconds = app, size, seconds
        self._room = _Room(together)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not has_body(scope):
            await self._app(scope, receive, send)
            return
        body = _Body(self._room)
        try:
            if _declared(scope) > self._size:
                raise self._too_large()
            async with asyncio.timeout(self._seconds):
                complete = await self._read(receive, body)
        except (ApiError, TimeoutError) as error:
            body.drop()
            await refuse(scope, receive, send, error if isinstance(error, ApiError) else self._too_slow())
        else:
            if complete:
                await self._app(scope, _with_body(body.whole(), receive), send)
        finally:
            body.drop()

    async def _read(self, receive: Receive, body: _Body) -> bool:
        """Take all that comes; False where the client has left. Raises ApiError for too much."""
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return False
            piece = message.get("body", b"")
            if body.size + len(piece) > self._size:
                raise self._too_large()
            body.add(piece)
            if not message.get("more_body", False):
                return True

    def _too_large(self) -> ApiError:
        message = f"the body of the request is too large; at most {self._size} bytes are taken"
        return ApiError(413, message, code="body_too_large")

    def _too_slow(self) -> ApiError:
        message = f"the body of the request did not come within {self._seconds:g} seconds"
        return ApiError(408, message, code="body_too_slow")


class _Room:
    """For so many more bytes of bodies."""

    def __init__(self, left: int) -> None:
        self.left = left


class _Body:
    """What has come of a body. It takes its room until it is dropped, also after it was given away whole."""

    def __init__(self, room: _Room) -> None:
        self._room = room
        self._data = bytearray()
        self.size = 0

    def add(self, piece: bytes) -> None:
        if len(piece) > self._room.left:
            raise unavailable("the server holds as many bytes of requests as it takes; try again later")
        self._room.left -= len(piece)
        self.size += len(piece)
        self._data += piece

    def whole(self) -> bytes:
        data = bytes(self._data)
        self._data.clear()
        return data

    def drop(self) -> None:
        self._data.clear()
        self._room.left += self.size
        self.size = 0


def _declared(scope: Scope) -> int:
    """The length that the head declares, 0 without any. The parser has seen to it that it is a number."""
    return next((int(value) for name, value in scope["headers"] if name == b"content-length"), 0)


def _with_body(body: bytes, receive: Receive) -> Receive:
    """Gives the body once, then whatever else comes."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_body() -> Message:
        return waiting.pop() if waiting else await receive()

    return receive_body
