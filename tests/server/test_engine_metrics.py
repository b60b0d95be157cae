"""The engine's figures among the server's metrics: those of the moment, and counts that never go down."""

from __future__ import annotations

import re

import pytest

from apar.decoding.answer import Answer
from apar.decoding.params import SamplingParams
from tests.engine.drafts.known import guess_everything
from tests.engine.test_engine import tiny_engine
from tests.engine.tiny import VOCABULARY
from tests.server.scraped import Series, answers, families, metrics, value, values


def test_without_an_engine_to_watch_nothing_is_told_of_one() -> None:
    assert not [name for name in families(metrics()) if name.startswith("apar_engine_")]


def test_the_engine_is_told_of_as_it_is_at_the_moment() -> None:
    subject, engine = metrics(), tiny_engine(blocks=30)
    subject.watch(engine.statistics)
    engine.add([5, 6, 7], SamplingParams(max_tokens=30))
    assert value(subject, "apar_engine_requests", state="waiting") == 1
    engine.step()
    assert value(subject, "apar_engine_requests", state="running") == 1
    assert value(subject, "apar_engine_fed_tokens") == 3
    while engine.groups:
        engine.step()
        blocks = {state: value(subject, "apar_engine_blocks", state=state) for state in ("held", "cached", "free")}
        assert sum(blocks.values()) == 30
        assert (blocks["held"] > 0) == bool(engine.groups)
    assert value(subject, "apar_engine_finished_total", reason="stop") + value(
        subject, "apar_engine_finished_total", reason="length"
    ) == pytest.approx(1)
    assert value(subject, "apar_engine_visible_tokens_total") == engine.statistics().visible_tokens > 0


def test_counts_never_go_down() -> None:
    subject, engine = metrics(), tiny_engine(blocks=24)
    subject.watch(engine.statistics)
    groups = [engine.add([5, k], SamplingParams(max_tokens=30)) for k in range(1, 10)]
    engine.cancel(groups.pop())
    before: dict[Series, float] = {}
    while groups:
        engine.step()
        for group in [group for group in groups if group.done]:
            groups.remove(group)
            subject.answered(Answer.of(group))
        after = values(subject)
        counts = [series for series in before if re.search("_(total|bucket|count|sum)$", series[0])]
        assert all(before[series] <= after[series] for series in counts)
        assert before.keys() <= after.keys()
        before = after
    assert value(subject, "apar_engine_cancelled_total") == 1
    assert value(subject, "apar_engine_preemptions_total") > 0
    assert value(subject, "apar_answers_total", mode="forked", reason="length") > 0


def test_rendering_asks_the_engine_once_and_grows_with_no_answer() -> None:
    subject, engine, asked = metrics(), tiny_engine(), []
    subject.watch(lambda: asked.append(1) or engine.statistics())
    given = answers(engine)
    subject.answered(given[0])
    lines = len(subject.render()[0].splitlines())
    asked.clear()
    for answer in given * 50:
        subject.answered(answer)
    body, _ = subject.render()
    assert len(asked) == 1
    assert len(body.splitlines()) == lines < 560


@pytest.mark.parametrize("width", [VOCABULARY, 0])
def test_draft_tokens_are_told_by_their_place_where_there_are_some(width: int) -> None:
    subject, engine = metrics(), guess_everything(tiny_engine(), width)
    subject.watch(engine.statistics)
    answers(engine)
    told = {name: number for (name, labels), number in values(subject).items() if ("position", "0") in labels}
    now = engine.statistics()
    expected = {"apar_engine_draft_tokens_total": now.drafted, "apar_engine_accepted_tokens_total": now.accepted}
    assert told == (expected if width else {})
    assert (now.drafted > now.accepted > 0) == (width > 0)
