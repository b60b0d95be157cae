"""One answer of a stream: from its events to the choices of its chunks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apar.assemble import Assembler
from apar.events import Delta, Event, Finished, Forked, Started
from apar.server.protocol.answers import ResponseModel
from apar.server.protocol.chunks import (
    DeltaEvent,
    EventLogprob,
    FinishedEvent,
    ForkedEvent,
    StartedEvent,
    ThreadEvent,
)
from apar.server.response_format import ResponseFormat


class ChunkBuilder:
    """Takes the events of an answer and gives the choices of chunks, text in reading order and append-only.

    `stop` are the stop texts; with `logprobs` every piece has those of its tokens.
    """

    def __init__(self, index: int, response_format: ResponseFormat, stop: Sequence[str], logprobs: bool) -> None:
        self.index = index
        self._format = response_format
        self._assembler = Assembler(stop)
        self._logprobs = logprobs

    def text(self, events: Sequence[Event]) -> str:
        """The text that may be read now, instead of `read` where nothing else is sent."""
        return "".join([self._assembler.feed(event) for event in events])

    def read(self, events: Sequence[Event]) -> ResponseModel | None:
        """The choice of a chunk with the text that may be read now; None where there is none."""
        return self._piece(self.text(events))

    def rest(self) -> ResponseModel | None:
        """The same when the events have ended."""
        return self._piece(self._assembler.end())

    def piece_of(self, text: str) -> ResponseModel:
        """The choice of a chunk with just a text; an empty one for a chunk that has thread events alone."""
        return self._format.piece(self.index, text)

    def _piece(self, text: str) -> ResponseModel | None:
        logprobs = self._assembler.take_logprobs() if self._logprobs else None
        return self._format.piece(self.index, text, logprobs) if text or logprobs else None


def thread_event(event: Event) -> ThreadEvent:
    """An event as chunks have it: as in a trace, with the parent in every kind."""
    thread, step = list(event.thread), event.step
    parent = thread[:-1] or None
    match event:
        case Started():
            return StartedEvent(event="started", thread=thread, parent=parent, step=step)
        case Delta():
            fields = {"logprobs": _logprobs(event)} if event.logprobs else {}
            ids = list(event.token_ids)
            return DeltaEvent(
                event="delta", thread=thread, parent=parent, step=step, token_ids=ids, text=event.text, **fields
            )
        case Forked():
            return ForkedEvent(event="forked", thread=thread, parent=parent, step=step, child=list(event.child))
        case Finished():
            drafts = {"drafted": event.drafted, "accepted": event.accepted}
            told: dict[str, Any] = {name: count for name, count in drafts.items() if count}
            told |= {"not_forked": dict(event.not_forked)} if event.not_forked else {}
            return FinishedEvent(event="finished", thread=thread, parent=parent, step=step, reason=event.reason, **told)


def _logprobs(delta: Delta) -> list[EventLogprob]:
    return [EventLogprob(token_id=each.token_id, logprob=each.logprob, top=list(each.top)) for each in delta.logprobs]
