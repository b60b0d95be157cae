"""The application in this process, on a real socket, over a tiny model whose passes a test can hold up."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from apar.backends.backend import Backend
from apar.server.app import guarded_app
from apar.server.health import Health
from apar.server.http.connection import HttpConfig
from apar.server.http.server import HttpServer
from apar.server.http.sockets import listen
from apar.server.settings import ServerLimits, ServerSettings
from tests.engine.crowd import PATIENCE

MODEL = "tiny"


@dataclass(slots=True)
class Told:
    """A stream of server-sent events as its client read it."""

    chunks: list[dict[str, Any]] = field(default_factory=list)
    pings: int = 0
    done: bool = False

    @classmethod
    def of(cls, body: str) -> Told:
        told = cls()
        for block in body.split("\n\n")[:-1]:
            assert not told.done, "nothing follows [DONE]"
            if block.startswith(":"):
                told.pings += 1
            elif block == "data: [DONE]":
                told.done = True
            else:
                told.chunks.append(json.loads(block.removeprefix("data: ")))
        return told

    def choices(self, index: int) -> list[dict[str, Any]]:
        return [choice for chunk in self.chunks for choice in chunk.get("choices", ()) if choice["index"] == index]

    def text(self, index: int = 0) -> str:
        return "".join(
            choice["delta"].get("content", "") if "delta" in choice else choice["text"]
            for choice in self.choices(index)
        )

    def reason(self, index: int = 0) -> str:
        [reason] = [choice["finish_reason"] for choice in self.choices(index) if choice["finish_reason"]]
        assert isinstance(reason, str)
        return reason


@dataclass(slots=True)
class Site:
    """A running server and a client of it."""

    client: httpx.Client
    health: Health

    def chat(self, content: str = "a", **fields: Any) -> httpx.Response:
        messages = fields.pop("messages", [{"role": "user", "content": content}])
        return self.client.post("/v1/chat/completions", json={"model": MODEL, "messages": messages, **fields})

    def complete(self, prompt: Any = "a", **fields: Any) -> httpx.Response:
        return self.client.post("/v1/completions", json={"model": MODEL, "prompt": prompt, **fields})

    def told(self, content: str = "a", **fields: Any) -> Told:
        response = self.chat(content, stream=True, **fields)
        assert response.status_code == 200, response.text
        return Told.of(response.text)

    def metric(self, name: str) -> float:
        """The sum of a metric's samples of this name."""
        lines = self.client.get("/metrics").text.splitlines()
        values = [line.rpartition(" ")[2] for line in lines if line.split("{")[0].split(" ")[0] == name]
        assert values, f"there is no metric {name}"
        return sum(map(float, values))


class _InProcess(HttpServer):
    """Ends no process: it is that of the tests."""

    def _end_surely(self, seconds: float = 0.0) -> None:
        pass


@contextmanager
def serving(
    load: Callable[[], Backend],
    key: str | None = None,
    limits: ServerLimits | None = None,
    backend: str = "local",
    **settings: Any,
) -> Iterator[Site]:
    """Serve what `load` makes as the model `tiny`; it is loaded when the `with` begins, if it can be at once."""
    health = Health()
    limits = limits or ServerLimits(drain_seconds=5.0)
    app = guarded_app(ServerSettings(MODEL, backend, **settings), load, health, limits, key)
    sockets = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
    configured = HttpConfig(app, limits)
    server = _InProcess(configured, health, lambda line: None)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets)), name="server")
    thread.start()
    try:
        with httpx.Client(base_url=url, timeout=PATIENCE) as client:
            yield Site(client, health)
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
        assert not thread.is_alive(), "the server has not ended"


def wait_for(true: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    """Wait until something is so; fails after a long while."""
    for _ in range(int(seconds / 0.01)):
        if true():
            return
        threading.Event().wait(0.01)
    raise AssertionError(f"it never came to be: {what}")
