"""What `apar generate` and `apar demo` share: loading a model, and an answer with its figures."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from apar.cli.quiet import quiet_libraries
from apar.errors import RunError
from apar.events import Event
from apar.extras import require

if TYPE_CHECKING:
    from apar.engine.llm import LLM, Answer


def load_llm(model: str, console: Console, **loading: Any) -> LLM:
    """Load a model, with a spinner on `console` where that is a terminal; `loading` are arguments of `LLM`.

    Raises UserError where torch or Transformers are missing, and what `LLM` raises.
    """
    require("local", "torch", "transformers")
    with spinner(model, console):
        from apar.engine.llm import LLM

        quiet_libraries()
        return LLM(model, **loading)


def spinner(model: str, console: Console) -> AbstractContextManager[object]:
    """Something that turns while a model loads; nothing for one of the hub: its download has progress bars."""
    if model == "demo" or Path(model).is_dir():
        return console.status(f"loading {model}")
    return nullcontext()


class AnswerStream:
    """The events of an answer under way, and after them the answer.

    `seconds` counts the time spent decoding and not that of whoever draws the events.
    """

    def __init__(self, events: Generator[Event, None, Answer]) -> None:
        self._events = events
        self._answer: Answer | None = None
        self.seconds = 0.0

    def __iter__(self) -> Iterator[Event]:
        try:
            while (event := self._next()) is not None:
                yield event
        finally:
            self._events.close()

    def _next(self) -> Event | None:
        began = time.perf_counter()
        try:
            return next(self._events)
        except StopIteration as end:
            self._answer = end.value
            return None
        finally:
            self.seconds += time.perf_counter() - began

    @property
    def answer(self) -> Answer:
        """The answer, with the seconds of decoding; raises RunError before the events have ended."""
        if self._answer is None:
            raise RunError("the answer was not read to its end")
        return replace(self._answer, seconds=self.seconds)


def numbers(answer: Answer) -> str:
    """An answer's figures on one line."""
    line = (
        f"{_count(answer.tokens, 'token')} in {_count(answer.steps, 'step')} "
        f"({answer.tokens_per_step:.1f} per step), {_count(answer.threads, 'thread')}, "
        f"{answer.seconds:.2f} s, {answer.tokens_per_second:.0f} tokens/s"
    )
    return line + (", cut by the limit of its length" if answer.finish_reason == "length" else "")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def write(text: str) -> None:
    """Write a piece of an answer to standard output; on a terminal without what would steer it."""
    from apar.view.labels import printable

    click.echo(printable(text) if sys.stdout.isatty() else text, nl=False)
