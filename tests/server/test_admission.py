"""Places for answers: as many as there are, and a word to those who come too many."""

from __future__ import annotations

import pytest

from apar.server import admission as module
from apar.server.admission import AdmissionLimit
from apar.server.errors import ApiError


def test_places_are_free_again_whatever_happens() -> None:
    limit = AdmissionLimit(3)
    with limit.admit(2), pytest.raises(ApiError) as refused, limit.admit(2):
        pass
    assert refused.value.status == 429
    with pytest.raises(ZeroDivisionError), limit.admit(3):
        _ = 1 / 0
    assert limit.admitted == 0


def test_what_can_never_fit_is_refused_for_good() -> None:
    with pytest.raises(ApiError) as refused, AdmissionLimit(3).admit(4):
        pass
    assert (refused.value.status, refused.value.param, dict(refused.value.headers)) == (400, "n", {})


def test_the_wait_follows_from_how_long_answers_took(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    limit = AdmissionLimit(4)
    assert limit.retry_after(1) == 1
    for _ in range(100):
        with limit.admit(2):
            now += 20.0
    assert limit.retry_after(1) == 5, "four answers of 20 seconds: one ends every 5"
    assert limit.retry_after(2) == 10
    now += 10_000.0
    assert limit.retry_after(1) == 5, "time in which nobody asked says nothing"
    for _ in range(100):
        with limit.admit(4):
            now += 3600.0
    assert limit.retry_after(1) == 60
