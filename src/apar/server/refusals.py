"""Refusing a request before the application has seen it, in the shape of OpenAI's errors."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterable

from starlette.types import Receive, Scope, Send

Headers = Iterable[tuple[bytes, bytes]]

# So that a client that is still sending reads why it was refused, the rest of what it sends is taken and dropped.
_REST_SECONDS = 5.0
_REST_BYTES = 64 * 2**20


def error_json(message: str, kind: str, code: str | None = None) -> bytes:
    """The body of an error; `kind` is OpenAI's type of it."""
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}}).encode()


async def refuse(
    scope: Scope,
    receive: Receive,
    send: Send,
    status: int,
    body: bytes,
    headers: Headers = (),
) -> None:
    """Answer with an error, and close the connection where a body was not read."""
    unread = has_body(scope)
    own = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *headers]
    if unread:
        own.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": own})
    await send({"type": "http.response.body", "body": body, "more_body": unread})
    if unread:
        await _drop_rest(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


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
