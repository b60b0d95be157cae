"""A trace plays again, at any speed, from any position; a broken one is refused with its line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from apar.assemble import Assembler, tree_of
from apar.events import Event, Finished, read_trace, to_json
from tests.server.page.answers import LIST, events_of, flat, with_drafts
from tests.server.page.fake import FakeServer, Reply, chunks
from tests.server.page.view import View, write_lines

EVENTS = events_of(LIST)
LAST = max(event.step for event in EVENTS)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "answer.jsonl", EVENTS)


@pytest.fixture
def still(page: Page, server: FakeServer) -> View:
    """The page with a clock that the test moves."""
    page.clock.install()
    page.goto(server.url)
    page.clock.pause_at(page.evaluate("Date.now()") + 1000)
    return View(page)


def shown_at(step: int) -> str:
    """What the document has when a step is over."""
    assembler = Assembler()
    for event in EVENTS:
        if event.step <= step:
            assembler.feed(event)
    assembler.end()
    return assembler.text


def seek(view: View, step: int) -> None:
    view.page.get_by_label("Position").fill(str(step))
    expect(view.page.locator("#position-told")).to_have_text(f"step {step + 1} of {LAST + 1}")


def position(view: View) -> int:
    return int(view.page.get_by_label("Position").input_value())


def set_speed(view: View, power: int) -> None:
    """2 ** power steps a second."""
    move = f"slider => {{ slider.value = {power}; slider.dispatchEvent(new Event('input')); }}"
    view.page.locator("#speed").evaluate(move)


def test_a_trace_plays_from_its_start_at_the_speed_that_is_set(still: View, trace: Path) -> None:
    set_speed(still, 3)
    still.open_trace(trace)
    expect(still.state("Trace")).to_be_attached()
    still.page.clock.run_for(1000)
    expect(still.page.get_by_text("8 steps/s")).to_be_visible()
    slow = position(still)
    assert 5 <= slow <= 8
    assert still.text("Trace") == shown_at(slow)
    set_speed(still, 4)
    still.page.clock.run_for(500)
    assert slow + 6 <= position(still) <= slow + 9
    still.button("Pause").click()
    still.page.clock.run_for(100)
    paused = position(still)
    still.page.clock.run_for(5000)
    assert position(still) == paused < LAST
    still.button("Play").click()
    still.page.clock.run_for(60_000)
    assert position(still) == LAST
    assert still.text("Trace") == LIST.text
    expect(still.button("Replay")).to_be_visible()


def test_any_position_shows_what_there_was_then_forwards_and_backwards(view: View, trace: Path) -> None:
    view.open_trace(trace)
    view.page.keyboard.press("Escape")
    for step in (LAST, 0, 14, 13, 20, -1, 9, LAST - 1, LAST):
        seek(view, step)
        assert view.text("Trace") == shown_at(step)
        expect(view.figure("steps", "Trace")).to_have_text(str(step + 1))


def test_a_trace_that_is_dropped_on_the_page_is_opened(view: View, trace: Path) -> None:
    files = view.page.evaluate_handle(
        """([text, name]) => { const data = new DataTransfer();
        data.items.add(new File([text], name)); return data; }""",
        [trace.read_text(), "dropped.jsonl"],
    )
    body = view.page.locator("body")
    body.dispatch_event("dragover", {"dataTransfer": files})
    expect(body).to_contain_class("dropping")
    body.dispatch_event("drop", {"dataTransfer": files})
    expect(body).not_to_contain_class("dropping")
    expect(view.page.get_by_role("heading", name="dropped.jsonl")).to_be_visible()
    expect(view.state("Trace")).to_have_text("from a file")


def test_both_columns_of_a_comparison_replay_on_one_clock(view: View, server: FakeServer) -> None:
    server.will(Reply(chunks(EVENTS)), Reply(chunks(flat(LIST))))
    view.page.get_by_label("Compare with sequential").check()
    view.ask("How?")
    view.has_ended("Sequential")
    view.page.get_by_label("Position").fill("12")
    for title in ("Parallel", "Sequential"):
        expect(view.figure("steps", title)).to_have_text("13")
    assert view.text() == shown_at(12)
    assert LIST.text.startswith(view.text("Sequential"))


def test_a_saved_trace_is_one_that_the_command_line_reads(view: View, server: FakeServer, tmp_path: Path) -> None:
    server.will(Reply(chunks(EVENTS)))
    view.ask("How?")
    view.has_ended()
    with view.page.expect_download() as download:
        view.button("Save trace").click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    assert path.name == "parallel.jsonl"
    assert list(read_trace(path)) == EVENTS
    view.open_trace(path)
    expect(view.state("Trace")).to_have_text("from a file")


def test_drafts_of_a_trace_are_shown_as_far_as_it_is_played_and_saved(
    view: View, server: FakeServer, tmp_path: Path
) -> None:
    events = with_drafts(EVENTS, (10, 5), (10, 1))
    view.open_trace(write_lines(tmp_path / "answer.jsonl", events))
    view.page.keyboard.press("Escape")
    first, second = [event.step for event in events if isinstance(event, Finished)][:2]
    assert first < second
    for step, told in ((LAST, "30 %"), (second, "30 %"), (first, "50 %"), (first - 1, "–"), (LAST, "30 %")):
        seek(view, step)
        expect(view.figure("drafts right", "Trace")).to_have_text(told)
    with view.page.expect_download() as download:
        view.button("Save trace").click()
    download.value.save_as(tmp_path / "saved.jsonl")
    assert [to_json(event) for event in read_trace(tmp_path / "saved.jsonl")] == list(map(to_json, events))


def broken(change: Callable[[dict[str, object]], object], line: int) -> Callable[[list[str]], None]:
    def apply(lines: list[str]) -> None:
        event = json.loads(lines[line])
        change(event)
        lines[line] = json.dumps(event)

    return apply


def cut(lines: list[str]) -> None:
    lines[4] = lines[4][:-5]


def twice(lines: list[str]) -> None:
    lines.insert(1, lines[0])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (cut, "line 5: it is not JSON"),
        (twice, "line 2: thread 0 has started already"),
        (broken(lambda event: event.update(step=-1), 2), 'line 3: "step" of a delta event is missing or wrong'),
        (broken(lambda event: event.pop("text"), 1), 'line 2: "text" of a delta event is missing or wrong'),
        (broken(lambda event: event.update(event="moved"), 1), "line 2: it is no event"),
        (broken(lambda event: event.update(event="toString"), 1), "line 2: it is no event"),
        (broken(lambda event: event.update(thread=[0, 7]), 3), "line 4: thread 0.7 never started"),
        (broken(lambda event: event.update(thread=[1]), 3), 'line 4: "thread" of a delta event is missing or wrong'),
        (lambda lines: lines.__setitem__(0, "null"), "line 1: it is no event"),
        (broken(lambda event: event.update(drafted=-1), -1), f'line {len(EVENTS)}: "drafted" of a finished event is'),
        (
            broken(lambda event: event.update(not_forked={"limits": -1}), -1),
            f'line {len(EVENTS)}: "not_forked" of a finished event is',
        ),
        (lambda lines: lines.pop(0), "line 1: thread 0 never started"),
        (lambda lines: lines.clear(), "is empty"),
    ],
)
def test_a_broken_trace_is_refused_with_its_line(
    view: View, trace: Path, change: Callable[[list[str]], None], told: str
) -> None:
    lines = trace.read_text().splitlines()
    change(lines)
    trace.write_text("".join(line + "\n" for line in lines))
    view.open_trace(trace)
    expect(view.problem).to_contain_text("answer.jsonl")
    expect(view.problem).to_contain_text(told)
    expect(view.page.locator("#result")).to_be_hidden()


def test_a_file_that_is_no_text_is_refused(view: View, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(b"\x89PNG\xff\xfe")
    view.open_trace(path)
    expect(view.problem).to_contain_text("picture.png is not a trace: it is not UTF-8 text.")
    view.button("Close").click()
    expect(view.problem).to_be_hidden()


def test_a_trace_with_many_and_deep_threads_is_shown(view: View, tmp_path: Path) -> None:
    from apar.events import replay
    from apar.tree import Node, ParagraphTree

    node = Node("deepest")
    for depth in range(40):
        node = Node(f"{depth}:", node, Node(";"))
    for number in range(300):
        node = Node(f"\n{number}.", Node(" detail"), node)
    events: list[Event] = list(replay(ParagraphTree(node)))
    view.open_trace(write_lines(tmp_path / "large.jsonl", events))
    view.page.get_by_label("Position").fill(str(max(event.step for event in events)))
    expect(view.timeline("Trace").get_by_text("and 141 more threads")).to_be_visible()
    assert view.text("Trace") == tree_of(events).text
