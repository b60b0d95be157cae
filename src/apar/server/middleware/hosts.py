"""The names by which a server may be asked.

A page of any site can give its own name the address of this machine, and its browser then takes what is served here for
a part of the site. The request still has the site's name as its host; no such page has a bare address for a name.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
from collections.abc import Collection

from starlette.types import ASGIApp, Receive, Scope, Send

from apar.errors import UserError
from apar.server.error_response import refuse
from apar.server.errors import ApiError
from apar.server.http.sockets import is_loopback

ALL = "*"
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?", re.ASCII)


class HostCheck:
    """Lets requests pass whose host is an address or one of `names`, with any port; all others get status 421."""

    def __init__(self, app: ASGIApp, names: Collection[str]) -> None:
        self._app = app
        self._names = frozenset(name.lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        name = _without_port(given[0]) if len(given) == 1 else ""
        if name in self._names or _is_address(name):
            await self._app(scope, receive, send)
            return
        message = f"this server does not go by the name {name[:200]!r}; allow it by --allowed-hosts where it is started"
        await refuse(scope, receive, send, ApiError(421, message, code="unknown_host"))


def names_of(host: str, has_key: bool, allowed: Collection[str]) -> frozenset[str] | None:
    """The names that a server which listens at `host` is asked by; None is any.

    They are checked where names are `allowed`, and where only this machine reaches the server and no key guards it.
    Raises UserError for what is no name, and for a host that is not known.
    """
    for name in allowed:
        if name != ALL and not _is_name(name):
            raise UserError(f"{name!r} is no name of a host; write it as apar.example.org, without scheme and port")
    if ALL in allowed or not (allowed or (is_loopback(host) and not has_key)):
        return None
    return frozenset({"localhost", host.lower(), *(name.lower() for name in allowed)})


def _without_port(host: str) -> str:
    """What a header `Host` names, an IPv6 address without its brackets."""
    found = re.fullmatch(r"(?:\[([^\[\]]*)\]|([^:\[\]]*))(?::\d*)?", host.strip().lower())
    return (found[1] or found[2] or "") if found else ""


def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name.lower()) is not None or _is_address(name)


def _is_address(name: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(name))
    return False
