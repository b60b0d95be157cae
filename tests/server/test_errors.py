"""Errors of the API."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

pytest.importorskip("fastapi")

from apar.server.errors import ApiError, busy


def test_an_error_passes_through_contexts_as_it_is() -> None:
    with pytest.raises(ApiError) as caught, _context():
        raise busy("too many answers are under way", 3)
    assert caught.value.body["error"]["message"] == "too many answers are under way"
    assert caught.value.headers == {"Retry-After": "3"}
    caught.value.__traceback__ = None  # as a framework does that has answered it


@contextmanager
def _context() -> Iterator[None]:
    yield
