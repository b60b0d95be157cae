"""What `/v1/chat/completions` streams: server-sent events, each a chunk in JSON, and the events of the answer in it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from apar.assemble import Recording
from apar.client.errors import reading_chunk
from apar.client.response import DataLines
from apar.errors import RunError, TreeError
from apar.events import Delta, Event, Finished, FinishReason, Started, from_json
from apar.tree import ROOT

_DONE = b"[DONE]"
_KNOWN = {"event", "thread", "step", "token_ids", "text", "logprobs", "child", "reason"}
_KNOWN |= {"drafted", "accepted", "not_forked"}
"""The keys of a trace's line; a thread that starts has its `parent` besides."""


@dataclass(frozen=True, slots=True)
class AnswerStats:
    """What a server reported of its answer, None what it did not; an `apar.Answer` has the same fields.

    `tokens` are the visible ones, `seconds` those waited for the answer; `drafted` and `accepted` are empty where no
    drafts were reported, `not_forked` where rules kept no lead from forking.
    """

    finish_reason: str
    tokens: int | None = None
    steps: int | None = None
    threads: int | None = None
    forward_passes: int | None = None
    drafted: tuple[int, ...] = ()
    accepted: tuple[int, ...] = ()
    mode: str | None = None
    not_forked: Mapping[str, int] = field(default_factory=dict)
    by_rules: bool = False
    seconds: float = 0.0


class ChunkReader:
    """Makes events of the chunks of one answer, and at the end its figures.

    Where chunks carry the events of threads, those are passed on; the text of other servers is one thread,
    a chunk a step.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._threads: bool | None = None
        self._recording = Recording()
        self._step = 0
        self._reason: str | None = None
        self._usage: dict[str, Any] = {}
        self._parallel: dict[str, Any] = {}

    def read(self, pieces: Iterable[bytes]) -> Iterator[Event]:
        """The events of a response's bytes.

        Raises what the server failed with, and RunError for what is no chunk, for events that make no answer, and
        for a stream that ends before the answer.
        """
        lines = DataLines(self._address)
        for data in chain.from_iterable(map(lines.read, pieces)):
            if data == _DONE:
                break
            yield from self._checked(self._events(data))
        if self._reason is None:
            raise RunError(f"the server at {self._address} ended in the middle of the answer")
        if not self._threads:
            reason: FinishReason = "length" if self._reason == "length" else "eos"
            yield from self._checked([*self._begin(), Finished(ROOT, self._step, reason)])

    def stats(self) -> AnswerStats:
        """What was reported of the answer, after the last event."""
        mode = self._parallel.get("mode")
        return AnswerStats(
            self._reason or "stop",
            tokens=_count(self._usage, "completion_tokens"),
            steps=_count(self._parallel, "steps"),
            threads=_count(self._parallel, "threads"),
            forward_passes=_count(self._parallel, "forward_passes"),
            drafted=_counts(self._parallel, "drafted"),
            accepted=_counts(self._parallel, "accepted"),
            mode=mode if isinstance(mode, str) else None,
            not_forked=_counts_by_name(self._parallel, "not_forked"),
            by_rules=self._parallel.get("fork") == "rules",
        )

    def _events(self, data: bytes) -> list[Event]:
        with reading_chunk(self._address, data, "chat") as chunk:
            self._usage = chunk.get("usage") or self._usage
            self._parallel = (chunk.get("metrics") or {}).get("parallel") or self._parallel
            choices = chunk.get("choices") or []
            return self._choice_events(chunk, choices[0]) if choices and choices[0].get("index", 0) == 0 else []

    def _choice_events(self, chunk: dict[str, Any], choice: dict[str, Any]) -> list[Event]:
        self._reason = choice.get("finish_reason") or self._reason
        lines = (chunk.get("apar") or {}).get("events")
        if lines is not None and self._threads is not False:
            self._threads = True
            return [_event(line) for line in lines]
        text = (choice.get("delta") or {}).get("content") or ""
        if not isinstance(text, str):
            raise TypeError("a text is a string")
        if self._threads or not text:
            return []
        self._step += 1
        return [*self._begin(), Delta(ROOT, self._step - 1, (), text)]

    def _begin(self) -> list[Event]:
        """The start of the one thread of a server that reports none."""
        if self._threads is not None:
            return []
        self._threads = False
        return [Started(ROOT, None, 0)]

    def _checked(self, events: Iterable[Event]) -> Iterator[Event]:
        for event in events:
            try:
                self._recording.add(event)
            except TreeError as error:
                raise RunError(f"the server at {self._address} sent threads that make no answer: {error}") from error
            yield event


def _event(line: dict[str, Any]) -> Event:
    known = _KNOWN | {"parent"} if line["event"] == "started" else _KNOWN
    return from_json(json.dumps({key: value for key, value in line.items() if key in known}))


def _count(figures: dict[str, Any], key: str) -> int | None:
    value = figures.get(key)
    return value if _is_count(value) else None


def _counts(figures: dict[str, Any], key: str) -> tuple[int, ...]:
    values = figures.get(key)
    return tuple(values) if isinstance(values, list) and all(map(_is_count, values)) else ()


def _counts_by_name(figures: dict[str, Any], key: str) -> dict[str, int]:
    values = figures.get(key)
    return values if isinstance(values, dict) and all(map(_is_count, values.values())) else {}


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
