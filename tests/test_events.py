from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given

from apar.errors import UserError
from apar.events import (
    Delta,
    Event,
    Finished,
    Forked,
    Started,
    TokenLogprob,
    from_json,
    read_trace,
    replay,
    to_json,
    write_trace,
)
from apar.tree import Node, ParagraphTree
from tests.trees import encoded, trees

EVENTS: list[Event] = [
    Started((0,), None, 0),
    Started((0, 3), (0,), 5),
    Delta((0, 3), 7, (12, 9), 'über\u2028 "x"\n'),
    Delta((0,), 8, (5,), "a", (TokenLogprob(5, -0.25, ((5, -0.25), (7, -1.5))),)),
    Forked((0,), (0, 4), 8),
    Finished((0, 3), 9, "length"),
]


def test_a_delta_without_log_probabilities_does_not_write_them() -> None:
    assert "logprobs" not in to_json(Delta((0,), 1, (5,), "a"))


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_survives_its_line_of_json(event: Event) -> None:
    line = to_json(event)
    assert "\n" not in line
    assert from_json(line) == event


def test_why_a_thread_did_not_fork_is_part_of_a_line_where_there_is_a_reason() -> None:
    line = to_json(Finished((0,), 9, "eos", not_forked={"limits": 2}))
    assert line == '{"event": "finished", "thread": [0], "step": 9, "reason": "eos", "not_forked": {"limits": 2}}'
    read = from_json(line)
    assert isinstance(read, Finished)
    assert read.not_forked == {"limits": 2}
    assert "not_forked" not in to_json(Finished((0,), 9, "eos"))
    for wrong in ('{"limits": -1}', '{"limits": "2"}', "[2]", "2"):
        with pytest.raises(ValueError, match="not_forked"):
            from_json(line.replace('{"limits": 2}', wrong))


def test_a_line_of_a_trace_reads_as_documented() -> None:
    line = to_json(Delta((0, 1), 7, (5,), "hé"))
    assert line == '{"event": "delta", "thread": [0, 1], "step": 7, "token_ids": [5], "text": "hé"}'


def test_a_trace_file_gives_back_the_events_written(tmp_path: Path) -> None:
    file = io.StringIO()
    write_trace(EVENTS, file)
    trace = tmp_path / "trace.jsonl"
    trace.write_text(file.getvalue(), encoding="utf-8")
    assert list(read_trace(trace)) == EVENTS


@pytest.mark.parametrize(
    "broken",
    ["{", "[]", "3", "null", '{"event": "begun"}', '{"event": "finished", "thread": [0]}', '{"thread": [0]}'],
)
def test_a_broken_line_of_a_trace_is_named_by_its_number(tmp_path: Path, broken: str) -> None:
    trace = tmp_path / "trace.jsonl"
    trace.write_text(to_json(EVENTS[0]) + "\n" + broken + "\n", encoding="utf-8")
    events = read_trace(trace)
    assert next(events) == EVENTS[0]
    with pytest.raises(UserError, match=r"trace.jsonl, line 2 is not an event"):
        next(events)


@pytest.mark.parametrize(
    "broken",
    [
        '{"event": "finished", "thread": [0], "step": "1", "reason": "eos"}',
        '{"event": "finished", "thread": [0], "step": 1, "reason": "bored"}',
        '{"event": "finished", "thread": 0, "step": 1, "reason": "eos"}',
        '{"event": "started", "thread": [0, "x"], "parent": [0], "step": 1}',
        '{"event": "started", "thread": [], "parent": null, "step": 1}',
        '{"event": "delta", "thread": [0], "step": 1, "token_ids": [1], "text": null}',
        *(
            '{"event": "delta", "thread": [0], "step": 1, "token_ids": [1], "text": "a", "logprobs": ' + logprobs + "}"
            for logprobs in [
                "[3]",
                '[{"token_id": 1, "logprob": -1.0}]',
                '[{"token_id": 1, "logprob": NaN, "top": []}]',
                '[{"token_id": 1, "logprob": -1.0, "top": "ab"}]',
                '[{"token_id": 1, "logprob": -1.0, "top": ["ab"]}]',
                '[{"token_id": 1, "logprob": -1.0, "top": [[1, -1.0, 2]]}]',
                '[{"token_id": 1, "logprob": -1.0, "top": [[1, -Infinity]]}]',
                '[{"token_id": true, "logprob": -1.0, "top": []}]',
            ]
        ),
        '{"event": "delta", "thread": [0], "step": -1, "token_ids": [1], "text": "a"}',
        '{"event": "finished", "thread": [0], "step": 1000000000000, "reason": "eos"}',
        "[" * 100_000,
    ],
)
def test_a_value_of_another_type_is_a_broken_line_too(tmp_path: Path, broken: str) -> None:
    trace = tmp_path / "trace.jsonl"
    trace.write_text(broken + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"trace.jsonl, line 1 is not an event"):
        list(read_trace(trace))


def test_whole_numbers_are_log_probabilities_too() -> None:
    line = '{"event": "delta", "thread": [0], "step": 1, "token_ids": [1], "text": "a", '
    event = from_json(line + '"logprobs": [{"token_id": 1, "logprob": -1, "top": [[1, -1], [4, -2]]}]}')
    assert event == Delta((0,), 1, (1,), "a", (TokenLogprob(1, -1.0, ((1, -1.0), (4, -2.0))),))


def test_a_missing_trace_and_one_that_is_no_text_are_one_line_each(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read the trace .*No such file"):
        list(read_trace(tmp_path / "none"))
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not UTF-8"):
        list(read_trace(tmp_path / "bytes"))


def test_a_replay_takes_a_step_for_every_token_fork_and_end() -> None:
    tree = encoded(ParagraphTree(Node("ab", Node("x"), Node("c"))))
    assert list(replay(tree)) == [
        Started((0,), None, 0),
        Delta((0,), 0, (97,), "ab"),
        Delta((0,), 1, (98,), ""),
        Forked((0,), (0, 0), 2),
        Delta((0,), 3, (99,), "c"),
        Started((0, 0), (0,), 3),
        Delta((0, 0), 3, (120,), "x"),
        Finished((0,), 4, "eos"),
        Finished((0, 0), 4, "eos"),
    ]


@given(trees())
def test_a_replay_tells_all_text_in_steps_that_never_go_back(tree: ParagraphTree) -> None:
    for version in (tree, encoded(tree)):
        events = list(replay(version))
        assert [event.step for event in events] == sorted(event.step for event in events)
        for thread in version.threads():
            texts = [event.text for event in events if isinstance(event, Delta) and event.thread == thread.path]
            assert "".join(texts) == "".join(node.text for node in thread.nodes)


@given(trees())
def test_in_a_replay_every_live_thread_samples_one_token_in_every_step(tree: ParagraphTree) -> None:
    events = [event for event in replay(encoded(tree)) if not isinstance(event, Started)]
    for thread in tree.threads():
        steps = [event.step for event in events if event.thread == thread.path]
        assert steps == list(range(steps[0], steps[0] + len(steps)))
