"""Running an application as the server of this process: sockets, signals and shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from apar.server.health import Health
from apar.server.http.connection import BoundedConnection, HttpConfig
from apar.server.http.sockets import listen, raise_file_limit, url
from apar.server.settings import ServerLimits

# After the time for open answers: for cancelled ones to say so, for the application to close, and for all of it.
_CANCEL_SECONDS = 0.5
_CLOSE_SECONDS = 1.0
_END_SECONDS = 1.7
# Besides the connections: the model's files, the event loop's own.
_OWN_FILES = 128


def serve(
    app: ASGIApp,
    health: Health,
    name: str,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    limits: ServerLimits | None = None,
    access_log: bool = False,
    announce: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
) -> None:
    """Serve until SIGTERM or SIGINT; then open answers may go on for `limits.drain_seconds`, and are cancelled.

    A second signal ends the process at once, with 128 and the signal's number; so does, with 0, whatever has not
    closed two seconds after the time for open answers. `name` is what is served. Raises UserError where it cannot
    listen, and the error with which `health` failed.
    """
    limits = limits or ServerLimits()
    sockets = listen(host, port)
    files = raise_file_limit(limits.connections + _OWN_FILES)
    if files < limits.connections + _OWN_FILES:
        limits = replace(limits, connections=max(1, files - _OWN_FILES))
    _log_to_stderr(access_log)
    config = HttpConfig(_Quiet(app), limits, access_log)
    server = HttpServer(config, health, announce)
    announce(f"apar serves {name} at {url(sockets, host)}")
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(server.serve(sockets))
    if health.error is not None:
        raise health.error
    if server.signalled:
        # All is closed. The interpreter's own end takes seconds with a model in memory, and where the model was still
        # being loaded, the thread inside foreign code may not survive it.
        _leave(0)


class HttpServer(uvicorn.Server):
    """uvicorn's server with our sweeps, signals and shutdown."""

    def __init__(self, config: HttpConfig, health: Health, announce: Callable[[str], None]) -> None:
        super().__init__(config)
        self._limits = config.limits
        self._health = health
        self._announce = announce
        self._announced_ready = False
        self.signalled = False

    async def on_tick(self, counter: int) -> bool:
        """About ten times a second. True is to stop."""
        if counter % 10 == 0:
            now = asyncio.get_running_loop().time()
            for connection in self._connections():
                connection.sweep(now)
        if self._health.status == "ok" and not self._announced_ready:
            self._announced_ready = True
            self._announce("the model is ready")
        if self._health.status == "failed":
            self._end_surely()
            return True
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal asks to stop, the second one ends the process.

        It is not kept in uvicorn's list of signals, which are raised again at the end: to be stopped is no failure.
        """
        if self.should_exit:
            _leave(128 + sig)
        self.signalled = True
        self._health.stop()
        self.should_exit = True
        self._end_surely(self._limits.drain_seconds)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, let open answers end, cancel those that do not, and close the application."""
        for server in self.servers:
            server.close()
        for listener in sockets or ():
            listener.close()
        if self._health.status != "failed":
            await self._drain()
        tasks = set(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_CANCEL_SECONDS)
        for connection in self._connections():
            connection.end()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self.lifespan.shutdown()
        for connection in self._connections():
            connection.transport.abort()

    async def _drain(self) -> None:
        end = asyncio.get_running_loop().time() + self._limits.drain_seconds
        if count := len(self.server_state.tasks):
            seconds = f"{self._limits.drain_seconds:g} seconds"
            self._announce(f"stopping: {count} open requests have {seconds} left; interrupt again to stop now")
        while self.server_state.tasks and (left := end - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(set(self.server_state.tasks), timeout=left)

    def _end_surely(self, seconds: float = 0.0) -> None:
        """End the process even where something hangs, if it is ours to end."""
        if threading.current_thread() is not threading.main_thread():
            return
        failed = self._health.error
        code = 0 if failed is None else getattr(failed, "exit_code", 1)
        timer = threading.Timer(seconds + _END_SECONDS, _leave, [code])
        timer.daemon = True
        timer.start()

    def _connections(self) -> list[BoundedConnection]:
        return [each for each in self.server_state.connections if isinstance(each, BoundedConnection)]


class _Quiet:
    """An application whose cancelled requests are no failures."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            if scope["type"] != "http":
                raise


def _log_to_stderr(access_log: bool) -> None:
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s", level=logging.WARNING)
    # uvicorn warns of every request that is malformed; anybody can send any number of those.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    logging.getLogger("uvicorn.access").setLevel(logging.INFO if access_log else logging.CRITICAL)
    # The user of each request that names one.
    logging.getLogger("apar.server").setLevel(logging.INFO if access_log else logging.WARNING)


def _leave(code: int) -> Any:
    """End the process now, and the processes it has started."""
    for child in multiprocessing.active_children():
        child.kill()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code)
