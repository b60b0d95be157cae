"""What `apar generate`, `apar demo` and `apar chat` share: loading a model, and an answer with its figures."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import click
from rich.console import Console

from apar.errors import RunError
from apar.events import Event
from apar.extras import require
from apar.models.model_source import check_present
from apar.sizes import counted
from apar.view.labels import drafts_label, not_forked_label, printable

if TYPE_CHECKING:
    from apar.chat.session import Stats
    from apar.engine.llm import LLM

AnyStats = TypeVar("AnyStats", bound="Stats")


def load_llm(model: str, console: Console, **loading: Any) -> LLM:
    """Load a model, and say so on `console`; `loading` are arguments of `LLM`.

    Raises UserError where torch or Transformers are missing, ModelError before they are imported where there is no
    such model, and what `LLM` raises.
    """
    require("local", "torch", "transformers")
    check_present(model, loading.get("adapter"))
    with spinner(model, console):
        import_less()
        from apar.engine.llm import LLM

        quiet_libraries()
        return LLM(model, **loading)


def spinner(model: str, console: Console) -> AbstractContextManager[object]:
    """Something that turns on a terminal while a model loads, and for a model of the hub, whose download has progress
    bars, one line. Elsewhere nothing: what is piped has answers and errors only.
    """
    if console.is_terminal and (model == "demo" or Path(model).exists()):
        return console.status(f"loading {model}")
    if console.is_terminal:
        console.print(f"apar: loading {printable(model)}", markup=False, highlight=False, soft_wrap=True)
    return nullcontext()


def import_less() -> None:
    """Keep Transformers from importing scikit-learn and SciPy, of which decoding uses nothing: a seventh of a start.

    To be called before a model's classes are imported.
    """
    import transformers.utils

    absent: Any = transformers.utils
    for package in ("sklearn", "scipy"):
        setattr(absent, f"is_{package}_available", lambda: False)


def quiet_libraries() -> None:
    """Let Transformers and the hub client log nothing but errors; a download keeps its progress bar."""
    from transformers import modeling_gguf_pytorch_utils
    from transformers.utils import logging as transformers_logging

    quiet: Any = transformers_logging  # not all of it is typed
    quiet.disable_progress_bar()  # of reading a file; downloads keep theirs
    gguf: Any = modeling_gguf_pytorch_utils
    if hasattr(gguf, "tqdm"):  # it has a bar of its own
        gguf.tqdm = partial(gguf.tqdm, disable=True)
    for name in ("transformers", "huggingface_hub"):
        logging.getLogger(name).setLevel(logging.ERROR)


class TimedAnswer(Generic[AnyStats]):
    """The events of an answer under way, and after them the answer, or its figures from a server.

    `seconds` counts the time spent decoding and not that of whoever draws the events.
    """

    def __init__(self, events: Generator[Event, None, AnyStats]) -> None:
        self._events = events
        self._answer: AnyStats | None = None
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
    def answer(self) -> AnyStats:
        """The answer, with the seconds of decoding; raises RunError before the events have ended."""
        if self._answer is None:
            raise RunError("the answer was not read to its end")
        timed: AnyStats = replace(cast(Any, self._answer), seconds=self.seconds)
        return timed


def numbers(answer: Stats) -> str:
    """An answer's figures on one line, those that are known."""
    tokens, seconds = answer.tokens, answer.seconds
    parts = [] if tokens is None else _progress(answer, tokens)
    if drafted := sum(answer.drafted):
        parts.append(drafts_label(drafted, sum(answer.accepted)))
    if answer.threads:
        parts.append(counted(answer.threads, "thread"))
    if answer.not_forked:
        parts.append(not_forked_label(answer.not_forked))
    elif answer.by_rules and answer.threads == 1:
        parts.append("no item of a list to fork at")
    parts.append(f"{seconds:.2f} s")
    if tokens is not None and seconds:
        parts.append(f"{tokens / seconds:.0f} tokens/s")
    if answer.finish_reason == "length":
        parts.append("cut by the limit of its length")
    return ", ".join(parts)


def _progress(answer: Stats, tokens: int) -> list[str]:
    """In how many steps and forward passes an answer of so many tokens was decoded."""
    steps, passes = answer.steps, answer.forward_passes
    told, drafts = counted(tokens, "token"), sum(answer.drafted) > 0
    in_passes = counted(passes or 0, "pass", "passes")
    per_pass = f" ({tokens / passes:.1f} per pass)" if passes and drafts else ""
    if answer.mode == "sequential":
        return [told + (f" in {in_passes}{per_pass}" if passes else ""), "one thread at a time"]
    if not steps:
        return [told]
    parts = [f"{told} in {counted(steps, 'step')} ({tokens / steps:.1f} per step)"]
    return parts + ([in_passes + per_pass] if per_pass else [])


def write(text: str) -> None:
    """Write a piece of an answer to standard output; on a terminal without what would steer it."""
    click.echo(printable(text) if sys.stdout.isatty() else text, nl=False)
