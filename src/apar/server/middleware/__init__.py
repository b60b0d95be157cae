"""Everything between a connection and the application: origins, hosts, keys, bounds, and failures."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from apar.server.middleware.body_limit import BodyLimit
from apar.server.middleware.failures import Failures
from apar.server.middleware.hosts import HostCheck
from apar.server.middleware.keys import KeyCheck
from apar.server.settings import ServerLimits


def guard(
    app: ASGIApp,
    limits: ServerLimits,
    key: str | None = None,
    origins: Sequence[str] = (),
    hosts: Collection[str] | None = None,
) -> ASGIApp:
    """The application behind all its guards. `origins` are those whose pages may ask, ["*"] for all.

    `hosts` are the names by which the server may be asked, None for all.
    Refused requests carry the headers for other origins too, and a browser's preflight request needs no key.
    """
    app = BodyLimit(app, limits.body, limits.body_seconds, limits.bodies)
    if key is not None:
        app = KeyCheck(app, key)
    if hosts is not None:
        app = HostCheck(app, hosts)
    app = Failures(app)
    if origins:
        app = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=["Retry-After"],
        )
    return app
