"""The parts of uvicorn that are not public and that `apar.server.http` overrides or reads.

pyproject.toml bounds uvicorn because of them. Before its ceiling is raised, with the new version installed:

1. run this file, which names what has gone or has another signature;
2. run tests/server/http: limits of heads and connections, upgrades, signals, draining;
3. read what changed in uvicorn/server.py (`serve`, `on_tick`, `shutdown`, `capture_signals`) and in
   uvicorn/protocols/http/httptools_impl.py (`data_received`, `on_headers_complete`, `on_message_complete`).
"""

from __future__ import annotations

import inspect
import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import HANDLED_SIGNALS, ServerState

ADVICE = f"uvicorn {version('uvicorn')} is not what apar.server.http was made for; read the beginning of this file"
PYPROJECT = Path(__file__).resolve().parents[3] / "pyproject.toml"


def minor(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2])


def test_the_version_is_one_that_was_checked() -> None:
    extras = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]["optional-dependencies"]
    [requirement] = [line for line in extras["server"] if line.startswith("uvicorn")]
    bounds = re.fullmatch(r"uvicorn>=([\d.]+),<([\d.]+)", requirement)
    assert bounds, "without a ceiling the next version of uvicorn may break the server's limits silently"
    assert minor(bounds[1]) <= minor(version("uvicorn")) < minor(bounds[2]), ADVICE


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (HttpToolsProtocol.__init__, ["self", "config", "server_state", "app_state", "_loop"]),
        (HttpToolsProtocol.connection_made, ["self", "transport"]),
        (HttpToolsProtocol.data_received, ["self", "data"]),
        (HttpToolsProtocol.on_headers_complete, ["self"]),
        (HttpToolsProtocol.on_message_complete, ["self"]),
        (HttpToolsProtocol.send_400_response, ["self", "msg"]),
        (HttpToolsProtocol.pause_writing, ["self"]),
        (HttpToolsProtocol.resume_writing, ["self"]),
        (HttpToolsProtocol._unset_keepalive_if_required, ["self"]),
        (uvicorn.Server.serve, ["self", "sockets"]),
        (uvicorn.Server.on_tick, ["self", "counter"]),
        (uvicorn.Server.handle_exit, ["self", "sig", "frame"]),
        (uvicorn.Server.shutdown, ["self", "sockets"]),
    ],
)
def test_what_is_overridden_or_called_is_there(function: object, parameters: list[str]) -> None:
    assert list(inspect.signature(function).parameters) == parameters, ADVICE  # type: ignore[arg-type]


def test_what_is_read_is_there() -> None:
    protocol = inspect.getsource(HttpToolsProtocol.__init__)
    for name in ("loop", "connections", "transport", "parser", "cycle", "headers"):
        assert re.search(rf"self\.{name}\b[^\n]* = ", protocol), f"{name}: {ADVICE}"
    assert "self.url = " in inspect.getsource(HttpToolsProtocol.on_message_begin), ADVICE
    cycle = inspect.getsource(RequestResponseCycle.__init__)
    assert all(f"self.{name} = " in cycle for name in ("response_complete", "more_body", "keep_alive")), ADVICE
    state = ServerState()
    assert (state.connections, state.tasks) == (set(), set()), ADVICE
    assert STATUS_LINE[503].startswith(b"HTTP/1.1 503 "), ADVICE


def test_a_signal_that_we_handle_is_not_raised_again_at_the_end() -> None:
    """uvicorn raises those that its own `handle_exit` has kept; ours keeps none."""
    source = inspect.getsource(uvicorn.Server.capture_signals)
    assert "signal.signal(sig, self.handle_exit)" in source, ADVICE
    assert "self._captured_signals" in source, ADVICE
    assert HANDLED_SIGNALS, ADVICE
