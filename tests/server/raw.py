"""A client of the server that does as little as possible, so that it can be many clients at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

PATH = "/v1/chat/completions"


class HttpError(Exception):
    """The server refuses the request, or breaks off its response."""


class Stream:
    """The data of a response of server-sent events, as they come."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._data = b""

    async def read(self) -> bytes:
        """Whole events, all that have come; nothing where the response has ended."""
        while True:
            size = int(await self._reader.readuntil(b"\r\n"), 16)
            data = (await self._reader.readexactly(size + 2))[:-2]
            if not size:
                if self._data:
                    raise HttpError(f"the response ends within an event: {self._data[-100:]!r}")
                return b""
            whole, end, rest = (self._data + data).rpartition(b"\n\n")
            self._data = rest
            if end:
                return whole + end

    async def chunks(self) -> AsyncIterator[dict[str, Any]]:
        """The chunks up to [DONE]; raises HttpError where one tells of an error, or [DONE] does not come."""
        done = False
        while data := await self.read():
            for line in data.decode().splitlines():
                if line == "data: [DONE]":
                    done = True
                elif line.startswith("data: "):
                    chunk = json.loads(line.removeprefix("data: "))
                    if "error" in chunk:
                        raise HttpError(str(chunk["error"]))
                    yield chunk
        if not done:
            raise HttpError("the stream ends without [DONE]")


@asynccontextmanager
async def opened(host: str, port: int, body: dict[str, Any], path: str = PATH) -> AsyncIterator[Stream]:
    """The stream of a request, over a connection of its own that is closed at the end, however much was read."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        data = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(lines[0].split()[1])
        if status != 200:
            raise HttpError(f"status {status}: {(await reader.read(2000)).decode(errors='replace')}")
        yield Stream(reader)
    finally:
        writer.transport.abort()


async def get(host: str, port: int, path: str) -> tuple[int, str]:
    """The status and the text of a page."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        return int(head.split()[1]), body.decode()
    finally:
        writer.transport.abort()


def content(chunk: dict[str, Any]) -> str:
    """The text of a chat's chunk."""
    return "".join(choice["delta"].get("content") or "" for choice in chunk["choices"])
