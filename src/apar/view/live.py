"""An answer as it is decoded: threads side by side on a terminal, text in reading order anywhere else."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Self

from rich.console import Console
from rich.live import Live

from apar.assemble import Assembler
from apar.events import Event
from apar.view.board import Board

FRAME_SECONDS = 0.1
"""Drawing takes time from decoding: ten frames a second are lively and cost a few per cent."""


def can_show_live(console: Console) -> bool:
    """Whether the console is a terminal on which text can be redrawn."""
    return console.is_terminal and not console.is_dumb_terminal


def show_live(events: Iterable[Event], console: Console, stop: Sequence[str] = (), title: str = "") -> str:
    """Draw the threads side by side until the events end, then clear them; return the answer in reading order.

    `title` begins the line above the threads, `stop` are the request's stop texts. Raises TreeError where the
    events do not fit together; the terminal is as before, whatever is raised.
    """
    board = Board(stop, title)
    with Live(
        board,
        console=console,
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    ) as live:
        with _Frames(live) as frames:
            for event in events:
                with frames.change():
                    board.add(event)
        board.end()
        live.refresh()
    return board.text


class _Frames:
    """Draws what is new, ten times a second at most; a thread draws what came last before a silence."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._board = threading.Lock()
        self._news = False
        self._drawn = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._draw, name="apar-frames", daemon=True)

    @contextmanager
    def change(self) -> Iterator[None]:
        """Within it the board may be changed."""
        with self._board:
            yield
            self._news = True
            if time.monotonic() - self._drawn >= FRAME_SECONDS:
                self._refresh()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _draw(self) -> None:
        while not self._ended.wait(FRAME_SECONDS):
            # A terminal that is gone is told by the next frame in the thread of the answer.
            with self._board, suppress(OSError, ValueError):
                if self._news:
                    self._refresh()

    def _refresh(self) -> None:
        self._news = False
        self._live.refresh()
        self._drawn = time.monotonic()


def paced(events: Iterable[Event], steps_per_second: float) -> Iterator[Event]:
    """The events, none before its step is due: a small model decodes faster than anybody can watch.

    Whatever makes the events never waits: it runs at full speed, what it is ahead is kept, and the rest of that
    is told when it has ended. Pauses between its steps would make a model slower (measured: a quarter).
    """
    began = time.monotonic()
    ahead: deque[Event] = deque()
    for event in events:
        ahead.append(event)
        while ahead and ahead[0].step <= (time.monotonic() - began) * steps_per_second:
            yield ahead.popleft()
    for event in ahead:
        time.sleep(max(0.0, began + event.step / steps_per_second - time.monotonic()))
        yield event


def show_plain(events: Iterable[Event], write: Callable[[str], object], stop: Sequence[str] = ()) -> str:
    """Write the text in reading order as soon as it may be shown, never changing what was written; return it."""
    assembler = Assembler(stop)
    for event in events:
        if text := assembler.feed(event):
            write(text)
    if rest := assembler.end():
        write(rest)
    return assembler.text
