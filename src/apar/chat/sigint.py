"""Ctrl-C in a chat: it clears the line at the prompt, ends the answer under way, and is nothing elsewhere."""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self, TypeVar

from apar.events import Event

Result = TypeVar("Result")


class SigintHandler:
    """Handles Ctrl-C while it is entered, in the main thread.

    An engine in this process must not be broken off in the middle of a step: its blocks would be lost. So an
    interrupt is only noted, and raised between two events. Where waiting may be broken off (`at_once`), it is.
    """

    def __init__(self) -> None:
        self._asked = False
        self._raising = False
        self._before: Any = None

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    @contextmanager
    def raised(self) -> Iterator[None]:
        """Within it an interrupt is raised as KeyboardInterrupt, wherever the program is."""
        self._raising = True
        try:
            yield
        finally:
            self._raising = False

    def watched(self, events: Generator[Event, None, Result], at_once: bool) -> Generator[Event, None, Result]:
        """The events; raises KeyboardInterrupt between two of them where that was asked for, and closes them."""
        self._asked = False
        try:
            while True:
                try:
                    event = self._next(events, at_once)
                except StopIteration as end:
                    result: Result = end.value
                    return result
                if self._asked:
                    raise KeyboardInterrupt
                yield event
        finally:
            events.close()

    def _next(self, events: Generator[Event, None, Result], at_once: bool) -> Event:
        if not at_once:
            return next(events)
        with self.raised():
            return next(events)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        self._asked = True
        if self._raising:
            raise KeyboardInterrupt
