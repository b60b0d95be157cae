"""Random answers with drafts of any acceptance: the same events as without, whatever the conditions."""

from __future__ import annotations

from collections import Counter

import pytest

from apar.decoding import lockstep
from apar.decoding.group import Group, Thread
from apar.engine.cache import PagedCache
from apar.scheduling.draft import Draft
from tests.engine.random_lives import compare_drafts
from tests.engine.tiny import VOCABULARY

CASES = 60
CHUNK = 15


def lives(first: int, count: int) -> tuple[list[str], Counter[str]]:
    counts: Counter[str] = Counter()
    found = [compare_drafts(number, counts) for number in range(first, first + count)]
    return [difference for difference in found if difference], counts


@pytest.mark.parametrize("first", range(0, CASES, CHUNK))
def test_answers_with_drafts_are_those_without(first: int) -> None:
    differences, counts = lives(first, CHUNK)
    assert differences == []
    assert counts["blocks lost"] == 0
    # The cases are of use only if things happen in them.
    assert counts["drafted"] > counts["accepted"] > 0
    assert counts["forks"] > 0
    assert counts["preemptions"] > 0
    assert counts["started early"] > 0


def test_the_comparison_notices_accepted_keys_that_are_not_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PagedCache, "move", lambda cache, moves: None)
    assert lives(0, CHUNK)[0]


def test_the_comparison_notices_a_draft_that_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    children = Draft.children

    def believed(draft: Draft, node: int) -> dict[int, int]:
        found = children(draft, node)
        return dict.fromkeys(range(VOCABULARY), min(found.values())) if found else found

    monkeypatch.setattr(Draft, "children", believed)
    assert lives(0, CHUNK)[0]


def test_the_comparison_notices_tokens_drawn_under_other_bans(monkeypatch: pytest.MonkeyPatch) -> None:
    def keep(group: Group) -> list[Thread]:
        return []

    monkeypatch.setattr(lockstep, "_drop_outdated", keep)
    assert lives(0, 3 * CHUNK)[0]


def test_a_child_that_was_started_early_gives_its_blocks_back_where_a_stop_text_ends_its_step() -> None:
    assert lives(11113, 1)[0] == []
