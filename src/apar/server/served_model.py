"""The model that is served: from its loading to the end of its engine."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable

from apar.backends.backend import Backend
from apar.errors import AparError, RunError
from apar.server.errors import unavailable
from apar.server.health import Health
from apar.server.token_text import TokenTexts

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
"""Between two looks at whether the engine still lives."""

_Loaded = tuple[Backend, TokenTexts]


class ServedModel:
    """The backend behind a server, made by `load` in a thread of its own. `name` is what clients call the model,
    `created` when it was begun to be served, in seconds since 1970.

    `health` follows how it goes, and `on_ready` is called in the event loop once the model is loaded.
    """

    def __init__(
        self, name: str, load: Callable[[], Backend], health: Health, on_ready: Callable[[Backend], None]
    ) -> None:
        self.name = name
        self.created = int(time.time())
        self.health = health
        self._load, self._on_ready = load, on_ready
        self._backend: Backend | None = None
        self._texts: TokenTexts | None = None

    @property
    def backend(self) -> Backend:
        """The backend; raises ApiError 503 while there is none that answers."""
        self.look()
        if self.health.status != "ok" or self._backend is None:
            raise unavailable(self.health.reason)
        return self._backend

    @property
    def texts(self) -> TokenTexts:
        """The texts of the model's tokens; raises as `backend` does."""
        if self._texts is None:
            raise unavailable(self.health.reason)
        return self._texts

    def look(self) -> None:
        """Note where the engine is gone: nothing brings it back."""
        if self._backend is not None and self.health.status == "ok" and (failure := self._backend.failure):
            self.health.fail(RunError(f"{self.name} cannot answer any more: {failure}"))

    async def live(self) -> None:
        """Load the model, and look after it until this task is cancelled."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._load_it, args=(loop,), name="apar-loading", daemon=True).start()
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self.look()

    def close(self) -> None:
        """End the backend."""
        self.health.stop()
        if self._backend is not None:
            self._backend.close()

    def _load_it(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            backend = self._load()
            loaded: _Loaded | AparError = backend, TokenTexts(backend.tokenizer)
        except AparError as error:
            loaded = error
        except BaseException as error:  # whatever it is, nobody may wait for ever
            logger.exception("loading %s failed", self.name)
            loaded = RunError(f"loading {self.name} failed: {type(error).__name__}: {error}")
        try:
            loop.call_soon_threadsafe(self._take_over, loaded)
        except RuntimeError:  # the server has ended meanwhile
            if not isinstance(loaded, AparError):
                loaded[0].close()

    def _take_over(self, loaded: _Loaded | AparError) -> None:
        if isinstance(loaded, AparError):
            self.health.fail(loaded)
        elif self.health.status == "loading":
            self._backend, self._texts = loaded
            self._on_ready(self._backend)
            self.health.ready()
        else:
            loaded[0].close()
