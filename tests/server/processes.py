"""A server in a process of its own, and raw connections to it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# No test waits so long unless it fails.
PATIENCE = 30.0


class Running:
    """A process that has said where it listens."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.host, self.port = self._address()

    def said(self, text: str) -> None:
        """Wait until a line on standard error has this text."""
        wait_until(lambda: any(text in line for line in self.lines), f"{text!r} in {self.lines}")

    def connect(self) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout=PATIENCE)

    def ask(self, path: str, body: bytes = b"", *headers: str, method: str = "GET") -> Reply:
        """One request over a connection of its own."""
        with self.connect() as connection:
            send(connection, path, body, *headers, method=method)
            return read_reply(connection)

    def counts(self) -> dict[str, int]:
        counts: dict[str, int] = self.ask("/counts").json
        return counts

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code; fails where the process does not end."""
        self.process.send_signal(sig)
        return self.ended()

    def ended(self) -> int:
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)

    def _address(self) -> tuple[str, int]:
        pattern = re.compile(r"http://(.+):(\d+)")
        wait_until(
            lambda: any(map(pattern.search, self.lines)) or self.process.poll() is not None, "the server listens"
        )
        found = next((match for line in self.lines if (match := pattern.search(line))), None)
        assert found is not None, self.lines
        return found[1].strip("[]"), int(found[2])


class Reply:
    """A whole response."""

    def __init__(self, data: bytes) -> None:
        head, _, self.body = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@contextmanager
def running(module: str, *words: str) -> Iterator[Running]:
    """`python -m MODULE WORDS`; it is surely gone at the end."""
    command = [sys.executable, "-m", module, *words]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield Running(process)
        finally:
            process.kill()


def send(connection: socket.socket, path: str, body: bytes = b"", *headers: str, method: str = "GET") -> None:
    lines = [f"{method} {path} HTTP/1.1", "Host: toy", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)


def read_reply(connection: socket.socket) -> Reply:
    """A response with a length, or all that comes until the end of the connection."""
    data = b""
    while True:
        head, end, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE) if end else None
        if length and len(body) >= int(length[1]):
            return Reply(data)
        piece = connection.recv(65536)
        if not piece:
            assert data, "the connection was closed without a word"
            return Reply(data)
        data += piece


def read_until_closed(connection: socket.socket) -> bytes:
    """All that comes; a connection that is reset has ended too. Fails where it is not closed in time."""
    data = b""
    try:
        while piece := connection.recv(65536):
            data += piece
    except ConnectionError:
        pass
    return data


def wait_until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"it never came: {what}"
        time.sleep(0.02)
