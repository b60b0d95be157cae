"""A small application behind our guards, and its server in a process: `python -m tests.server.toy`."""

from __future__ import annotations

import argparse
import asyncio
import json
import threading
import time
from dataclasses import fields
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from apar.errors import ModelError
from apar.server.health import Health
from apar.server.http.server import serve
from apar.server.middleware import guard
from apar.server.settings import ServerLimits

KEY = "secret-1"
PIECE = b"data: " + b"x" * 4096 + b"\n\n"


class Toy:
    """Echoes the length of bodies, streams, fails; counts its open and its cancelled streams."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self.open = 0
        self.cancelled = 0
        self.closed = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        match scope["path"]:
            case "/health":
                status, report = self._health.report()
                await reply(send, status, report.to_dict())
            case "/counts":
                await reply(send, 200, {"open": self.open, "cancelled": self.cancelled})
            case "/v1/echo":
                await reply(send, 200, {"length": len((await receive()).get("body", b""))})
            case "/v1/fails":
                raise ValueError("a detail that is nobody's business")
            case "/v1/fails-later":
                await self._begin(send)
                await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
                raise ValueError("a detail that is nobody's business")
            case "/v1/endless":
                await self._stream(receive, send, pause=0.0)
            case "/v1/waiting":
                await self._stream(receive, send, pause=0.05)
            case "/v1/two-seconds":
                await self._stream(receive, send, pause=0.05, pieces=40)
            case "/v1/hangs":
                time.sleep(1000)  # as an event loop that something foreign blocks
            case _:
                await reply(send, 404, {"error": "no such path"})

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.closed = True
        await send({"type": "lifespan.shutdown.complete"})

    async def _begin(self, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

    async def _stream(self, receive: Receive, send: Send, pause: float, pieces: int = 10**9) -> None:
        self.open += 1
        await receive()
        gone = asyncio.create_task(self._wait_for_end(receive))
        await self._begin(send)
        try:
            for _ in range(pieces):
                if gone.done():
                    self.cancelled += 1
                    return
                await send({"type": "http.response.body", "body": PIECE, "more_body": True})
                await asyncio.sleep(pause)
            await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            gone.cancel()
            self.open -= 1

    async def _wait_for_end(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass


async def reply(send: Send, status: int, body: Any) -> None:
    data = json.dumps(body).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(data))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data})


def guarded(health: Health, limits: ServerLimits) -> ASGIApp:
    return guard(Toy(health), limits, KEY, ["https://a.example"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--load", type=float, default=0.0)
    parser.add_argument("--fail", action="store_true")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    for field in fields(ServerLimits):
        parser.add_argument(f"--{field.name}", type=type(field.default), default=field.default)
    given = parser.parse_args()
    limits = ServerLimits(**{field.name: getattr(given, field.name) for field in fields(ServerLimits)})
    health = Health()

    def load() -> None:
        time.sleep(given.load)
        if given.fail:
            health.fail(ModelError("there is no such model"))
        else:
            health.ready()

    threading.Thread(target=load, daemon=True).start()
    try:
        serve(guarded(health, limits), health, "toy", host=given.host, port=given.port, limits=limits)
    except ModelError as error:
        raise SystemExit(f"apar: {error}") from None


if __name__ == "__main__":
    main()
