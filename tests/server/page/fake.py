"""A server of the page with scripted answers, which can be held at any chunk so that tests see half of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import apar.server
from apar.assemble import Assembler
from apar.events import Event
from apar.server.chunk_builder import thread_event

PAGE = Path(apar.server.__file__).parent / "page"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
DONE = b"data: [DONE]\n\n"


def piece(data: Mapping[str, Any]) -> bytes:
    return f"data: {json.dumps(data)}\n\n".encode()


def chunks(events: Iterable[Event], finish: str = "stop", metrics: Mapping[str, Any] | None = None) -> list[bytes]:
    """An answer in the form of the server: the role, a chunk for each event, the reason, the usage, the end."""
    assembler = Assembler()
    told = [{"delta": {"role": "assistant", "content": ""}}]
    pieces = [piece({"choices": [{"index": 0, "finish_reason": None, **choice}]}) for choice in told]
    for event in events:
        delta = {"content": assembler.feed(event)}
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        pieces.append(piece({"choices": [choice], "apar": {"events": [thread_event(event).to_dict()]}}))
    pieces.append(piece({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}))
    figures = {"kv_blocks_peak": 17, "queue_seconds": 0.0, **(metrics or {})}
    pieces.append(piece({"choices": [], "usage": {"total_tokens": 1}, "metrics": {"parallel": figures}}))
    return [*pieces, DONE]


@dataclass
class Reply:
    """What a request is answered with. With `held`, pieces go out as far as `upto` allows.

    `breaks` ends the connection after the pieces without the end of the body.
    """

    pieces: Sequence[bytes]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    held: bool = False
    breaks: bool = False

    def __post_init__(self) -> None:
        self._condition = threading.Condition()
        self._allowed = 0 if self.held else len(self.pieces)
        self.gone = threading.Event()
        """Set when the client went away before the end."""

    def upto(self, count: int) -> None:
        """Let the first `count` pieces go, counted from the end where it is negative."""
        with self._condition:
            self._allowed = count if count >= 0 else len(self.pieces) + count
            self._condition.notify_all()

    def finish(self) -> None:
        """Let all go."""
        self.upto(len(self.pieces))

    def write(self, handler: BaseHTTPRequestHandler) -> None:
        for index, data in enumerate(self.pieces):
            with self._condition:
                allowed = self._condition.wait_for(lambda at=index: self._allowed > at, 0.02)
                while not allowed:
                    handler.wfile.write(b"9\r\n: ping\n\n\r\n")  # so that a client that has gone is noticed
                    allowed = self._condition.wait_for(lambda at=index: self._allowed > at, 0.02)
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        if not self.breaks:
            handler.wfile.write(b"0\r\n\r\n")


def refusal(status: int, message: str, **headers: str) -> Reply:
    body = json.dumps({"error": {"message": message, "type": "some_error", "param": None, "code": None}}).encode()
    return Reply([body], status, {"Content-Type": "application/json", **headers})


class FakeServer:
    """Answers the requests of the API by `replies`, one after the other. `requests` are their bodies, with `key`."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.requests: list[dict[str, Any]] = []
        self.version: dict[str, Any] = {"version": "1.2.3", "backend": "local", "model": "demo"}
        self.health: tuple[int, dict[str, Any]] = (200, {"status": "ok"})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def will(self, *replies: Reply) -> Reply:
        """Answer the next requests so; returns the first reply."""
        self.replies += replies
        return replies[0]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for reply in self.replies:
            reply.finish()
        self.stop()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                told = {"/health": fake.health, "/version": (200, fake.version)}
                if self.path in told:
                    status, data = told[self.path]
                    self._send(status, json.dumps(data).encode(), "application/json")
                    return
                file = PAGE / ("index.html" if self.path == "/" else self.path.removeprefix("/page/"))
                if file.parent == PAGE and file.is_file():
                    self._send(200, file.read_bytes(), TYPES[file.suffix])
                else:
                    self._send(404, b"", "text/plain")

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                fake.requests.append({**body, "path": self.path, "key": self.headers.get("Authorization")})
                reply = fake.replies[len(fake.requests) - 1]
                self.close_connection = True
                self.send_response(reply.status)
                for name, value in {"Content-Type": "text/event-stream", **reply.headers}.items():
                    self.send_header(name, value)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                try:
                    reply.write(self)
                except OSError:
                    reply.gone.set()

            def _send(self, status: int, body: bytes, kind: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Content-Security-Policy", POLICY)
                self.end_headers()
                self.wfile.write(body)

        return Handler
