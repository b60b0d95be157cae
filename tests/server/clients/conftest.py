"""The official client, connected to the server of the tiny model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.server.served import Served


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[Any]:
    from tests.server.clients.openai_clients import client

    with client(served) as connected:
        yield connected
