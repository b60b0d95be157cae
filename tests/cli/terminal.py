"""A program on a terminal of its own, as somebody at a keyboard has it."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

# No test waits so long unless it fails.
PATIENCE = 60.0
# The first thing the program does is to take the terminal as its own, so that Ctrl-C reaches it.
_TAKE = "import os; os.close(os.open(os.ttyname(0), os.O_RDWR));"
_STEERING = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]")


class Terminal:
    """`python -c code arguments` on a terminal; what is typed and shown are texts."""

    def __init__(self, code: str, *arguments: object) -> None:
        self._keyboard, screen = pty.openpty()
        words: Sequence[str] = [sys.executable, "-c", _TAKE + code, *map(str, arguments)]
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24", "NO_PROXY": "127.0.0.1"}
        self._process = subprocess.Popen(
            words, stdin=screen, stdout=screen, stderr=screen, env=environment, start_new_session=True
        )
        os.close(screen)
        self._unread = ""
        self.shown = ""

    @classmethod
    @contextlib.contextmanager
    def running(cls, code: str, *arguments: object) -> Iterator[Self]:
        """Killed at the end, if it has not ended."""
        terminal = cls(code, *arguments)
        try:
            yield terminal
        finally:
            terminal._process.kill()
            terminal._process.wait()
            os.close(terminal._keyboard)

    def type(self, text: str) -> None:
        os.write(self._keyboard, text.encode())

    def interrupt(self) -> None:
        """Press Ctrl-C when the program waits: Python does not see it in the moment before it begins to wait."""
        end = time.monotonic() + PATIENCE
        stat = Path(f"/proc/{self._process.pid}/stat")
        while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "S":
            assert time.monotonic() < end, f"never waits after {self._unread!r}"
            time.sleep(0.01)
        self.type("\x03")

    def wait_for(self, text: str) -> str:
        """Read what is shown until there is `text`; returns what stood before it, without what steers the terminal."""
        end = time.monotonic() + PATIENCE
        while text not in self._unread:
            assert time.monotonic() < end, f"no {text!r} in {self._unread!r}"
            assert self._read(), f"ended without {text!r} after {self.shown!r}"
        before, _, self._unread = self._unread.partition(text)
        return before

    def ended(self) -> int:
        """Read to the end, and return the exit code."""
        end = time.monotonic() + PATIENCE
        while self._read():
            assert time.monotonic() < end, f"still runs after {self._unread!r}"
        return self._process.wait(PATIENCE)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._keyboard], [], [], 0.1)
        if not ready:
            return self._process.poll() is None
        try:
            data = os.read(self._keyboard, 65536)
        except OSError:  # how Linux tells that nobody has the terminal open any more
            return False
        self.shown += data.decode(errors="replace")
        self._unread = _STEERING.sub("", self._unread + data.decode(errors="replace")).replace("\r\n", "\n")
        return bool(data)
