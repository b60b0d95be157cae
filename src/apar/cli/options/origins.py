"""Origins of pages, as browsers tell them."""

from __future__ import annotations

from urllib.parse import urlsplit

from apar.errors import UserError

ALL = "*"
_PORTS = {"http": 80, "https": 443}
_FORM = "write https://app.example.org or http://localhost:3000, or * for all"


def check_origin(given: str) -> str:
    """An origin just as a browser sends it, or `*`; raises UserError for anything else, which no page would fit."""
    if given == ALL:
        return given
    origin = _origin(given)
    if origin is None:
        raise UserError(f"{given!r} is no origin of pages; {_FORM}")
    if origin != given:
        raise UserError(f"{given!r} is no origin of pages as browsers tell it; write {origin}")
    return origin


def _origin(given: str) -> str | None:
    """The origin that a URL has; None for what is none."""
    try:
        parts = urlsplit(given)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode()
    except ValueError:  # an impossible port, brackets or name
        return None
    if not parts.scheme or not host or any(sign in host for sign in "* "):
        return None
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{name}" + ("" if port in (None, _PORTS.get(parts.scheme)) else f":{port}")
