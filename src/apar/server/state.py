"""The model that is served: being loaded, ready, failed, or on its way out."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Literal

from apar.backends.streams import Backend
from apar.errors import AparError, RunError
from apar.server.errors import unavailable

logger = logging.getLogger(__name__)

Status = Literal["ok", "loading", "failed", "stopping"]


class Served:
    """The backend behind the server. `load` makes it, in a thread of its own; `name` is what clients call the model.

    `on_ready` and `on_failure` are called in the event loop when loading has come to its end.
    """

    def __init__(
        self,
        name: str,
        load: Callable[[], Backend],
        on_ready: Callable[[Backend], None] | None = None,
        on_failure: Callable[[AparError], None] | None = None,
    ) -> None:
        self.name = name
        self._load, self._on_ready, self._on_failure = load, on_ready, on_failure
        self._backend: Backend | None = None
        self._error: AparError | None = None
        self._stopping = False

    @property
    def status(self) -> Status:
        if self._stopping:
            return "stopping"
        if self._error is not None or (self._backend is not None and self._backend.failure):
            return "failed"
        return "ok" if self._backend is not None else "loading"

    @property
    def reason(self) -> str:
        """Why no answer can be given; empty if one can."""
        match self.status:
            case "ok":
                return ""
            case "stopping":
                return "the server is stopping"
            case "loading":
                return f"the model {self.name} is being loaded"
            case "failed":
                failure = self._backend.failure if self._backend is not None else "it could not be loaded"
                return f"the model {self.name} cannot answer: {failure}"

    @property
    def backend(self) -> Backend:
        """The backend; raises ApiError 503 while there is none that answers."""
        if self.status != "ok" or self._backend is None:
            raise unavailable(self.reason)
        return self._backend

    def start(self) -> None:
        """Begin to load. The thread is no reason for the program to stay."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._live, args=(loop,), name="apar-loading", daemon=True).start()

    def stop(self) -> None:
        """Take no more requests."""
        self._stopping = True

    def close(self) -> None:
        """End the backend."""
        self.stop()
        if self._backend is not None:
            self._backend.close()

    def _live(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            backend: Backend | AparError = self._load()
        except AparError as error:
            backend = error
        except BaseException as error:  # whatever it is, the server must not wait for ever
            logger.exception("loading %s failed", self.name)
            backend = RunError(f"loading {self.name} failed: {type(error).__name__}: {error}")
        try:
            loop.call_soon_threadsafe(self._settle, backend)
        except RuntimeError:  # the server has ended meanwhile
            if not isinstance(backend, AparError):
                backend.close()

    def _settle(self, loaded: Backend | AparError) -> None:
        if isinstance(loaded, AparError):
            self._error = loaded
            if self._on_failure is not None:
                self._on_failure(loaded)
            return
        if self._stopping:
            loaded.close()
            return
        self._backend = loaded
        if self._on_ready is not None:
            self._on_ready(loaded)
