"""Calling an ASGI application without a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message


@dataclass(frozen=True, slots=True)
class Sent:
    """What an application has sent; it is `complete` where it has said so."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes
    complete: bool

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def call(
    app: ASGIApp,
    path: str,
    pieces: Sequence[bytes] = (b"",),
    *,
    headers: Sequence[tuple[bytes, bytes]] = (),
    pause: float = 0.0,
    leave: bool = False,
    **scope: Any,
) -> Sent:
    """One request, its body in pieces with a pause before each; the client may `leave` instead of its last piece."""
    left = list(pieces)
    sent: list[Message] = []

    async def receive() -> Message:
        await asyncio.sleep(pause)
        if leave and len(left) == 1:
            left.clear()
        if not left:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message: Message) -> None:
        sent.append(message)

    request = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": list(headers), **scope}
    await app(request, receive, send)
    bodies = [message for message in sent if message["type"] == "http.response.body"]
    return Sent(
        status=sent[0]["status"] if sent else 0,
        headers={name.lower(): value for name, value in sent[0]["headers"]} if sent else {},
        body=b"".join(message.get("body", b"") for message in bodies),
        complete=bool(bodies) and not bodies[-1].get("more_body", False),
    )
