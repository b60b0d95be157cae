"""The engine against the oracle: the same events and the same text, whatever the conditions."""

from __future__ import annotations

from collections import Counter

import pytest

from apar.engine.cache import PagedCache
from apar.scheduling.place import Place
from apar.scheduling.scheduler import Scheduler
from tests.engine.random_lives import compare

CASES = 150
CHUNK = 15


def lives(first: int, count: int) -> tuple[list[str], Counter[str]]:
    """The differences in some cases, and what happened in them."""
    counts: Counter[str] = Counter()
    found = [compare(number, counts) for number in range(first, first + count)]
    return [difference for difference in found if difference], counts


@pytest.mark.parametrize("first", range(0, CASES, CHUNK))
def test_the_engine_equals_the_oracle_event_for_event_and_loses_no_block(first: int) -> None:
    differences, counts = lives(first, CHUNK)
    assert differences == []
    assert counts["blocks lost"] == 0
    assert counts["ties"] <= 1
    # The cases are of use only if things happen in them.
    assert counts["forks"] > 0
    assert counts["preemptions"] > 0


def test_the_comparison_notices_a_partial_block_that_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PagedCache, "copy", lambda cache, copies: None)
    differences, _ = lives(0, CHUNK)
    assert differences
    assert not any("failed:" in difference for difference in differences)


def test_the_comparison_notices_a_fork_token_that_the_child_misses(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Scheduler.plan

    def without_duplicate_writes(*args, **options):  # type: ignore[no-untyped-def]
        work = plan(*args, **options)
        work.duplicate_writes.clear()
        return work

    monkeypatch.setattr(Scheduler, "plan", without_duplicate_writes)
    differences, _ = lives(0, CHUNK)
    assert differences
    assert not any("failed:" in difference for difference in differences)


def test_the_comparison_notices_penalties_that_leave_out_what_an_ancestor_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = Place.said.fget
    assert said is not None

    def said_itself(place: Place) -> list[tuple[int, int]]:
        own = place.thread.tokens[place.thread.starts[-1] :]
        return [(token, own.count(token)) for token, _ in said(place) if token in own]

    monkeypatch.setattr(Place, "said", property(said_itself))
    differences, counts = lives(0, CHUNK)
    assert differences
    assert not any("failed:" in difference for difference in differences)
    assert counts["ties"] <= 1
