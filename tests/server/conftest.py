"""The tiny model behind `apar serve`, in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.server.served import Served, serving


@pytest.fixture(scope="session")
def served() -> Iterator[Served]:
    """One server for all tests that ask it as a client does; it wants a key."""
    pytest.importorskip("torch")
    pytest.importorskip("fastapi")
    with serving("--cpu-threads", "1") as server:
        yield server
