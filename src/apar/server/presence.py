"""Work that is of use only as long as the client is there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any, TypeVar

Result = TypeVar("Result")


class ClientGoneError(Exception):
    """The client has closed the connection: there is nobody to answer."""


async def unless_gone(
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]], work: Coroutine[Any, Any, Result]
) -> Result:
    """The result of `work`, which is cancelled where the client goes first; that raises ClientGoneError."""
    working = asyncio.ensure_future(work)
    waiting = asyncio.ensure_future(client_gone(receive))
    try:
        await asyncio.wait([working, waiting], return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientGoneError
    finally:
        for task in (working, waiting):
            task.cancel()
        await asyncio.gather(working, waiting, return_exceptions=True)


async def client_gone(receive: Callable[[], Awaitable[MutableMapping[str, Any]]]) -> None:
    """Wait until the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
