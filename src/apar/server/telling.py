"""One answer of a stream: from its events to the chunks that a client gets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apar.assemble import Assembler
from apar.events import Delta, Event, TokenLogprob
from apar.server.forms import Form
from apar.server.logprobs import LEAST, LogprobsInOrder
from apar.server.token_text import TokenTexts


class Telling:
    """Takes the events of an answer and gives the choices of chunks, text in reading order and append-only.

    `stop` are the stop texts; with `logprobs` every piece has those of its tokens.
    """

    def __init__(self, index: int, form: Form, texts: TokenTexts, stop: Sequence[str], logprobs: bool) -> None:
        self.index = index
        self._form, self._texts = form, texts
        self._assembler = Assembler(stop)
        self._logprobs = LogprobsInOrder() if logprobs else None
        self._shown = 0  # characters

    def text(self, events: Sequence[Event]) -> str:
        """The text that may be read now, instead of `read` where nothing else is to be told."""
        return "".join([self._assembler.feed(event) for event in events])

    def read(self, events: Sequence[Event]) -> dict[str, Any] | None:
        """The choice of a chunk with the text that may be read now; None where there is none."""
        return self._piece(self.text(events), events)

    def rest(self) -> dict[str, Any] | None:
        """The same when the events have ended."""
        return self._piece(self._assembler.end(), (), ended=True)

    def piece_of(self, text: str) -> dict[str, Any]:
        """The choice of a chunk with just a text; an empty one where a chunk tells of threads alone."""
        return self._form.piece(self.index, text, None, self._texts)

    def _piece(self, text: str, events: Sequence[Event], ended: bool = False) -> dict[str, Any] | None:
        self._shown += len(text)
        logprobs = None
        if self._logprobs is not None:
            logprobs = self._logprobs.take(events, self._shown, ended and not self._assembler.stopped)
        if not text and not logprobs:
            return None
        return self._form.piece(self.index, text, logprobs, self._texts)


def as_thread_event(event: Event) -> dict[str, Any]:
    """An event as chunks tell it: as in a trace, with the parent in every kind."""
    told = {name: getattr(event, name) for name in event.__slots__ if name != "logprobs"}
    if isinstance(event, Delta) and event.logprobs:
        told["logprobs"] = [_finite(logprob) for logprob in event.logprobs]
    return {"event": type(event).__name__.lower(), **told, "parent": event.thread[:-1] or None}


def _finite(logprob: TokenLogprob) -> dict[str, Any]:
    top = [(token, max(value, LEAST)) for token, value in logprob.top]
    return {"token_id": logprob.token_id, "logprob": max(logprob.logprob, LEAST), "top": top}
