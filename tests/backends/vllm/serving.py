"""vLLM's own server in a process, on a free port, with forks in its core; surely ended."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

_MOST_SECONDS = 240.0


@contextmanager
def serving(folder: Path, log: Path, *options: str) -> Iterator[str]:
    """`apar serve FOLDER --backend vllm --server vllm` with further options; yields its address.

    Fails with the end of its log.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [
        sys.executable,
        "-m",
        "apar",
        "serve",
        str(folder),
        "--backend",
        "vllm",
        "--server",
        "vllm",
        "--port",
        str(port),
        *options,
    ]
    with (
        log.open("wb") as out,
        subprocess.Popen(
            words,
            stdout=out,
            stderr=out,
            env={**os.environ, "VLLM_ENABLE_V1_MULTIPROCESSING": "1"},
            start_new_session=True,
        ) as process,
    ):
        try:
            _wait(process, f"http://127.0.0.1:{port}", log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _MOST_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"the server ended: {log.read_text(errors='replace')[-3000:]}")
        try:
            if httpx.get(f"{url}/health", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    raise AssertionError(f"the server does not answer: {log.read_text(errors='replace')[-3000:]}")
