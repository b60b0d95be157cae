from __future__ import annotations

import io
import time
from collections.abc import Iterator

import pytest
from rich.console import Console

from apar.errors import TreeError
from apar.events import Event, Forked, replay
from apar.view.live import can_show_live, paced, show_live, show_plain
from tests.scripted import LIST
from tests.trees import delta, encoded, started

HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"


def terminal() -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, force_terminal=True, width=80, height=24, _environ={"TERM": "xterm"}), file


def test_threads_are_drawn_and_cleared_and_the_answer_comes_back() -> None:
    console, file = terminal()
    assert show_live(replay(encoded(LIST)), console) == LIST.text
    written = file.getvalue()
    assert "0.1" in written
    assert written.count(HIDE_CURSOR) == written.count(SHOW_CURSOR) == 1
    assert written.endswith("\x1b[2K")


def test_what_came_before_a_silence_is_drawn_during_it() -> None:
    console, file = terminal()

    def events() -> Iterator[Event]:
        yield from list(replay(encoded(LIST)))[:5]
        end = time.monotonic() + 60
        while "Two" not in file.getvalue():
            assert time.monotonic() < end, "nothing was drawn"
            time.sleep(0.01)

    show_live(events(), console)


def test_the_answer_ends_before_a_stop_text() -> None:
    console, _ = terminal()
    assert show_live(replay(encoded(LIST)), console, ["\n2."]) == LIST.text.partition("\n2.")[0]


@pytest.mark.parametrize("failure", [KeyboardInterrupt, TreeError("broken")])
def test_the_terminal_is_restored_whatever_is_raised(failure: BaseException | type[BaseException]) -> None:
    def events() -> Iterator[Event]:
        yield from list(replay(encoded(LIST)))[:10]
        raise failure

    console, file = terminal()
    with pytest.raises((KeyboardInterrupt, TreeError)):
        show_live(events(), console)
    assert file.getvalue().count(SHOW_CURSOR) == 1


def test_live_needs_a_terminal_on_which_text_can_be_redrawn() -> None:
    assert can_show_live(terminal()[0])
    assert not can_show_live(Console(file=io.StringIO()))
    assert not can_show_live(Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "dumb"}))


def test_without_colours_the_view_is_still_drawn() -> None:
    file = io.StringIO()
    environment = {"TERM": "xterm-256color", "NO_COLOR": "1"}
    console = Console(file=file, force_terminal=True, width=80, height=24, _environ=environment)
    assert show_live(replay(encoded(LIST)), console) == LIST.text
    assert "╭" in file.getvalue()
    assert "\x1b[36m" not in file.getvalue()


def test_plain_text_is_written_as_soon_as_it_may_be_shown() -> None:
    written: list[str] = []
    seen: list[str] = []

    def events() -> Iterator[Event]:
        told: list[Event] = [
            started((0,), 0),
            delta((0,), 0, "lead"),
            Forked((0,), (0, 0), 1),
            started((0, 0), 2),
            delta((0,), 2, "next"),
            delta((0, 0), 2, "detail"),
        ]
        for event in told:
            yield event
            seen.append("".join(written))

    assert show_plain(events(), written.append) == "leaddetailnext"
    assert seen == ["", "lead", "lead", "lead", "lead", "leaddetail"]
    # The stream ended with the child unfinished: what it told is shown, and what comes after it.
    assert written == ["lead", "detail", "next"]


def test_plain_text_that_was_held_back_for_a_stop_text_is_written_at_the_end() -> None:
    written: list[str] = []
    assert show_plain([started((0,), 0), delta((0,), 0, "abc")], written.append, ["bcd"]) == "abc"
    assert written == ["a", "bc"]


class Clock:
    """Time that passes only where it is slept away, or where the maker of events says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("apar.view.live.time", clock)
    return clock


def test_a_fast_engine_never_waits_and_its_events_are_told_when_they_are_due(clock: Clock) -> None:
    made: list[float] = []

    def events() -> Iterator[Event]:
        for event in replay(encoded(LIST)):
            made.append(clock.now)
            yield event

    told = [(clock.now - 100.0, event) for event in paced(events(), 10)]
    assert [event for _, event in told] == list(replay(encoded(LIST)))
    assert set(made) == {100.0}
    assert all(when == pytest.approx(event.step / 10) for when, event in told)


def test_a_slow_engine_is_shown_as_it_decodes(clock: Clock) -> None:
    def events() -> Iterator[Event]:
        for step in range(5):
            clock.now += 2.0
            yield delta((0,), step, "a")

    assert [clock.now - 100.0 for _ in paced(events(), 10)] == [2.0, 4.0, 6.0, 8.0, 10.0]
