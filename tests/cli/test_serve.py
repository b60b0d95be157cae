"""The command line of `apar serve`, up to the point where it would listen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.server.calls import call

pytest.importorskip("fastapi")


class Started:
    """What the server was started with, instead of being started."""

    def __init__(self, apar: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
        self._apar = apar
        self.app: Any = None
        self.options: dict[str, Any] = {}
        monkeypatch.delenv("APAR_API_KEY", raising=False)
        monkeypatch.setattr("apar.server.run.serve", self._serve)
        monkeypatch.setattr("apar.cli.serve.backend_maker", lambda *given: self._make)

    def __call__(self, *words: str) -> Run:
        return self._apar("serve", "demo", *words)

    def refuses(self, *words: str) -> str:
        """Fail unless the words are refused before anything starts; returns the error."""
        run = self(*words)
        assert (run.code, self.app) == (2, None), run
        return run.err

    def status(self, host: str, path: str = "/version") -> int:
        """Of a request to the application that was to be served."""
        headers = [(b"host", host.encode())]
        return asyncio.run(call(self.app, path, headers=headers, method="GET", root_path="")).status

    def _serve(self, app: Any, health: Any, name: str, **options: Any) -> None:
        self.app, self.options = app, options

    def _make(self) -> Any:
        raise AssertionError("no engine is made before the server runs")


@pytest.fixture
def serve(apar: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> Started:
    return Started(apar, monkeypatch)


def test_by_default_names_of_other_machines_are_refused(serve: Started) -> None:
    assert serve().code == 0
    assert serve.status("localhost:8000") == 200
    assert serve.status("evil.example:8000") == 421


def test_names_are_allowed_one_by_one_or_in_a_list(serve: Started) -> None:
    serve("--allowed-hosts", "a.example, b.example", "--allowed-hosts", "c.example")
    assert [serve.status(f"{name}.example") for name in "abcd"] == [200, 200, 200, 421]


def test_with_a_key_every_name_will_do(serve: Started) -> None:
    serve("--api-key", "secret")
    assert serve.status("a.example") == 200


def test_what_is_no_name_of_a_host_is_refused(serve: Started) -> None:
    assert "'http://a.example' is no name of a host" in serve.refuses("--allowed-hosts", "http://a.example")
