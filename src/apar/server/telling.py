"""One answer of a stream: from its events to the chunks that a client gets."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from apar.assemble import Assembler, Reader, Recording
from apar.events import Delta, Event, TokenLogprob
from apar.server.forms import Form
from apar.server.token_text import TokenTexts


class Telling:
    """Takes the events of an answer and gives the choices of chunks, text in reading order and append-only.

    `stop` are the stop texts; with `logprobs` every piece has those of its tokens.
    """

    def __init__(self, index: int, form: Form, texts: TokenTexts, stop: Sequence[str], logprobs: bool) -> None:
        self.index = index
        self._form, self._texts = form, texts
        self._assembler = Assembler(stop)
        self._logprobs = _LogprobsInOrder() if logprobs else None
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

    def nothing(self) -> dict[str, Any]:
        """The choice of a chunk that tells of threads and has no text to be read yet."""
        return self._form.piece(self.index, "", None, self._texts, self._shown)

    def _piece(self, text: str, events: Sequence[Event], ended: bool = False) -> dict[str, Any] | None:
        offset, self._shown = self._shown, self._shown + len(text)
        logprobs = None
        if self._logprobs is not None:
            logprobs = self._logprobs.take(events, self._shown, ended and not self._assembler.stopped)
        if not text and not logprobs:
            return None
        return self._form.piece(self.index, text, logprobs, self._texts, offset)


class _LogprobsInOrder:
    """Hands out the log probabilities of tokens in reading order, when the text of each begins to be shown."""

    def __init__(self) -> None:
        self._recording = Recording()
        self._reader = Reader(self._recording)
        self._waiting: deque[tuple[int, Delta]] = deque()  # with the character where each begins
        self._length = 0
        self._offset = 0

    def take(self, events: Sequence[Event], shown: int, all_is_shown: bool) -> list[TokenLogprob]:
        """Those of tokens that begin before character `shown`, or of all that are left."""
        for event in events:
            self._recording.add(event)
        for delta in self._reader.read(ended=all_is_shown):
            self._waiting.append((self._length, delta))
            self._length += len(delta.text)
        taken: list[TokenLogprob] = []
        while self._waiting and (all_is_shown or self._waiting[0][0] < shown):
            taken += self._waiting.popleft()[1].logprobs
        return taken


def as_thread_event(event: Event) -> dict[str, Any]:
    """An event as chunks tell it: as in a trace, with the parent in every kind."""
    told = {name: getattr(event, name) for name in event.__slots__ if name != "logprobs"}
    if isinstance(event, Delta) and event.logprobs:
        told["logprobs"] = [asdict(logprob) for logprob in event.logprobs]
    return {"event": type(event).__name__.lower(), **told, "parent": event.thread[:-1] or None}
