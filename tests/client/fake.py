"""A small server that speaks what a chat needs of OpenAI's API, with the events of threads. Its faults are chosen."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from apar.assemble import Assembler
from apar.events import Event, replay, to_json
from apar.tree import ParagraphTree
from tests.scripted import LIST
from tests.trees import encoded

Body = dict[str, Any]
HANG = b"HANG"
"""In the place of bytes: the server says nothing until the client has gone."""
CUT = b"CUT"
"""In the place of bytes: the server closes the connection."""


@dataclass
class Reply:
    """A whole answer in the place of a stream."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class FakeChat:
    """`version` None is a server of somebody else. `refuse` may answer a chat otherwise, `distort` change its bytes."""

    tree: ParagraphTree = LIST
    version: Any = field(default_factory=lambda: {"version": "1", "backend": "local", "model": "tiny"})
    models: Any = field(default_factory=lambda: {"data": [{"id": "tiny"}]})
    key: str | None = None
    loading: int = 0
    refuse: Callable[[Body], Reply | None] = lambda body: None
    distort: Callable[[list[bytes]], list[bytes]] = lambda pieces: pieces
    asked: list[Body] = field(default_factory=list)
    healths: int = 0
    left: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        """Serve in a thread; gives the URL."""
        fake = self

        class Handler(_Handler):
            chat = fake

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def answer(self, path: str, authorization: str | None) -> Reply:
        """The answer to a plain question."""
        if path == "/health":
            self.healths += 1
            self.loading -= 1
            loading = self.loading > 0
            return Reply(503, {"status": "loading"}) if loading else Reply(200, {"status": "ok"})
        if path == "/version" and self.version is not None:
            return Reply(200, self.version)
        if path != "/v1/models":
            return Reply(404, {"detail": "Not Found"})
        return self.refusal(authorization) or Reply(200, self.models)

    def refusal(self, authorization: str | None) -> Reply | None:
        """What every address of the API answers without the key, or while the model is loading."""
        if self.key is not None and authorization != f"Bearer {self.key}":
            return Reply(401, _error("the API key is wrong"))
        return Reply(503, _error("loading"), {"Retry-After": "1"}) if self.loading > 0 else None

    def pieces(self, body: Body) -> list[bytes]:
        """The bytes of an answer, an event each."""
        threads = body.get("apar", {}).get("stream") == "threads"
        told = [{"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]}]
        told += [_chunk(*news, threads) for news in _news(self.tree)]
        last: Body = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        if threads:
            last["metrics"] = {"parallel": {"threads": 3, "steps": 30, "seconds": 0.5}}
        told += [last, {"choices": [], "usage": {"completion_tokens": len(self.tree.text)}}]
        return [b": ping\n\n", *map(sent, told), b"data: [DONE]\n\n"]


def sent(data: Any) -> bytes:
    """A chunk as it is sent; texts keep their other ends of lines."""
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def _news(tree: ParagraphTree) -> Iterator[tuple[Event, str]]:
    assembler = Assembler()
    for event in replay(encoded(tree)):
        yield event, assembler.feed(event)


def _chunk(event: Event, text: str, threads: bool) -> Body:
    chunk: Body = {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
    if threads:
        line = {**json.loads(to_json(event)), "parent": event.thread[:-1] or None}
        chunk["apar"] = {"events": [line]}
    return chunk


def _error(message: str) -> Body:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    chat: FakeChat

    def do_GET(self) -> None:
        self._send(self.chat.answer(self.path, self.headers["Authorization"]))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.chat.asked.append(body)
        reply = self.chat.refusal(self.headers["Authorization"]) or self.chat.refuse(body)
        if reply is not None:
            self._send(reply)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for piece in self.chat.distort(self.chat.pieces(body)):
            if piece == CUT:
                break
            if piece == HANG:
                self.connection.recv(1)  # returns when the client closes the connection
                self.chat.left.set()
                break
            self.wfile.write(piece)
        self.close_connection = True

    def _send(self, reply: Reply) -> None:
        content = json.dumps(reply.body).encode()
        self.send_response(reply.status)
        for name, value in {"Content-Length": str(len(content)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *values: object) -> None:
        pass
