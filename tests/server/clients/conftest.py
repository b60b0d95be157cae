"""The official client, connected to the demo server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.server.demo import Demo


@pytest.fixture(scope="module")
def client(demo: Demo) -> Iterator[Any]:
    from tests.server.clients.openai_clients import client

    with client(demo) as connected:
        yield connected
