"""The key that clients of the API must show."""

from __future__ import annotations

import hashlib
import hmac

from starlette.types import ASGIApp, Receive, Scope, Send

from apar.errors import UserError
from apar.server.error_response import refuse
from apar.server.errors import ApiError

_CHALLENGE = {"WWW-Authenticate": "Bearer"}


class KeyCheck:
    """Lets requests to /v1 pass only with `Authorization: Bearer KEY`; all other paths need none.

    Raises UserError for a key that clients cannot send.
    """

    def __init__(self, app: ASGIApp, key: str) -> None:
        if not key or not all("!" <= character <= "~" for character in key):
            raise UserError(
                "the API key must have at least one character, and only letters, digits and signs of ASCII, no spaces"
            )
        self._app = app
        self._digest = _digest(key.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _needs_key(scope["path"]):
            await self._app(scope, receive, send)
            return
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(given) != 1:
            message = "give the API key of this server as 'Authorization: Bearer KEY'"
        elif not self._fits(given[0]):
            message = "this is not the API key of this server"
        else:
            await self._app(scope, receive, send)
            return
        await refuse(scope, receive, send, ApiError(401, message, code="invalid_api_key", headers=_CHALLENGE))

    def _fits(self, header: bytes) -> bool:
        scheme, _, key = header.partition(b" ")
        same = hmac.compare_digest(_digest(key.strip(b" ")), self._digest)
        return scheme.lower() == b"bearer" and same


def _needs_key(path: str) -> bool:
    return path == "/v1" or path.startswith("/v1/")


def _digest(key: bytes) -> bytes:
    """Of one length for all keys: comparing keys themselves would give away the length."""
    return hashlib.sha256(key).digest()
