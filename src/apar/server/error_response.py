"""Refusing a request before the application has seen it, in the shape of OpenAI's errors."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence

from starlette.types import Receive, Scope, Send

from apar.server.errors import ApiError

# So that a client that is still sending reads why it was refused, the rest of what it sends is taken and dropped.
_REST_SECONDS = 2.0
_REST_BYTES = 64 * 2**20


def error_json(error: ApiError) -> bytes:
    """The body of an error's response."""
    return json.dumps(error.body).encode()


async def refuse(scope: Scope, receive: Receive, send: Send, error: ApiError) -> None:
    """Answer with an error a request whose body was not read; where there is one, the connection is closed."""
    if not has_body(scope):
        await send_error(send, error)
        return
    await send_error(send, error, [(b"connection", b"close")], more=True)
    await _drop_rest(receive)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def send_error(
    send: Send, error: ApiError, extra: Sequence[tuple[bytes, bytes]] = (), more: bool = False
) -> None:
    """The response of an error; `more` leaves it open."""
    headers = [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
    body = error_json(error)
    headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *extra]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": more})


def has_body(scope: Scope) -> bool:
    """Whether a request's head announces a body."""
    names = {name for name, value in scope["headers"] if not (name == b"content-length" and value == b"0")}
    return bool(names & {b"content-length", b"transfer-encoding"})


async def _drop_rest(receive: Receive) -> None:
    left = _REST_BYTES
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_REST_SECONDS):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
