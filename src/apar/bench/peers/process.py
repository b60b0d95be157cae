"""This side of a peer: starts its process, gives it rounds, and ends it."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from apar.errors import RunError, UserError

PEERS = {"hf": "hf.py", "vllm": "vllm.py", "llama.cpp": "llama_cpp.py"}
"""The adapters' files by the names that users give them."""

_HERE = Path(__file__).parent
_MOST_SECONDS = 1200.0
"""For an answer: loading and compiling a large model takes minutes, no answer at all is a hang."""


class PeerError(RunError):
    """A peer cannot take part, or no longer; the message is the reason."""


class PeerProcess:
    """A peer with a model loaded, in its own process. Raises PeerError where it cannot run."""

    def __init__(self, name: str, python: str, settings: Mapping[str, Any]) -> None:
        self.name = name
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
        try:
            self._process = subprocess.Popen(
                [python, "-P", str(_HERE / "worker.py"), str(_HERE / PEERS[name])],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": str(settings["threads"])},
            )
        except OSError as error:
            self._errors.close()
            raise PeerError(f"{python} cannot be run: {error.strerror}") from error
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            facts = self._ask(settings)
            if "reason" in facts:
                raise PeerError(facts["reason"])
        except PeerError:
            self.close()
            raise
        self.version, self.threads = str(facts["version"]), int(facts["threads"])

    def decode(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> tuple[float, list[list[int]]]:
        """Seconds taken to decode `new_tokens` tokens after each prompt, and the tokens. Raises PeerError."""
        answer = self._ask({"prompts": prompts, "new_tokens": new_tokens})
        return answer["seconds"], answer["tokens"]

    def close(self) -> None:
        """End the process: it goes when its input ends, and is killed if it does not."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._errors.close()

    def _ask(self, message: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
            line = self._lines.get(timeout=_MOST_SECONDS)
        except BrokenPipeError:
            line = ""
        except queue.Empty:
            raise PeerError(f"no answer in {_MOST_SECONDS / 60:.0f} minutes") from None
        if not line:
            raise PeerError(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = [line for line in self._errors.read().decode(errors="replace").splitlines() if line.strip()]
        return f"its process ended: {lines[-1].strip()[:200]}" if lines else "its process ended without a word"


def parse_peers(names: str | None) -> list[str]:
    """A list of peers with commas between them; raises UserError for one that is not known."""
    found = [name.strip() for name in (names or "").split(",") if name.strip()]
    for name in found:
        if name not in PEERS:
            raise UserError(f"there is no peer {name!r}; there are {', '.join(PEERS)}")
    return list(dict.fromkeys(found))


def parse_pythons(options: Sequence[str]) -> dict[str, str]:
    """`NAME=PYTHON` options: the interpreter of the environment in which a peer is installed."""
    pythons = dict.fromkeys(PEERS, sys.executable)
    for option in options:
        name, sign, python = option.partition("=")
        if not sign or name not in PEERS or not python:
            raise UserError(f"--peer-python {option!r} is not NAME=PYTHON with a NAME of {', '.join(PEERS)}")
        pythons[name] = python
    return pythons
