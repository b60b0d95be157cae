"""Places for answers: as many as there are, and a word to those who come too many."""

from __future__ import annotations

import pytest

from apar.server import places as module
from apar.server.errors import ApiError
from apar.server.places import Places


def test_places_are_free_again_whatever_happens() -> None:
    places = Places(3)
    with places.take(2), pytest.raises(ApiError) as refused, places.take(2):
        pass
    assert refused.value.status == 429
    with pytest.raises(ZeroDivisionError), places.take(3):
        _ = 1 / 0
    assert places.taken == 0


def test_what_can_never_fit_is_refused_for_good() -> None:
    with pytest.raises(ApiError) as refused, Places(3).take(4):
        pass
    assert (refused.value.status, refused.value.param, dict(refused.value.headers)) == (400, "n", {})


def test_the_wait_follows_from_how_long_answers_took(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    places = Places(4)
    assert places.retry_after(1) == 1
    for _ in range(100):
        with places.take(2):
            now += 20.0
    assert places.retry_after(1) == 5, "four answers of 20 seconds: one ends every 5"
    assert places.retry_after(2) == 10
    now += 10_000.0
    assert places.retry_after(1) == 5, "time in which nobody asked says nothing"
    for _ in range(100):
        with places.take(4):
            now += 3600.0
    assert places.retry_after(1) == 60
