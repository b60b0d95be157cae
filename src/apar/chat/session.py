"""A chat under way: who answers, how, and what has been said."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Protocol

from apar.assemble import Assembler
from apar.chat.conversation import Conversation
from apar.chat.sigint import SigintHandler
from apar.client.chat_chunks import AnswerStats
from apar.decoding.answer import Answer
from apar.decoding.params import SamplingParams
from apar.errors import RunError, UserError
from apar.events import Event
from apar.tokens import Message

Stats = Answer | AnswerStats
"""The figures of an answer from an engine here, or from a server."""


class ChatBackend(Protocol):
    """What answers: an engine as `apar.LLM`, or a server."""

    def stream(self, prompt: Sequence[Message], params: SamplingParams) -> Generator[Event, None, Any]:
        """The events of the answer as they happen; the generator returns its figures. Closing it cancels."""
        ...


class Session:
    """`conversation` and `params` may be exchanged at any time; a turn that fails changes neither.

    `at_once` says that waiting for the backend may be broken off.
    """

    def __init__(
        self, backend: ChatBackend, params: SamplingParams, conversation: Conversation, at_once: bool = False
    ) -> None:
        self.backend = backend
        self.params = params
        self.at_once = at_once
        self.begin(conversation)

    def begin(self, conversation: Conversation) -> None:
        """Go on from another conversation; a question at its end is what `retry` asks."""
        kept, question = conversation.unanswered()
        self.conversation = kept
        self.unanswered: str | None = question
        """The last question, if it got no answer."""
        self.events: list[Event] = []
        """Those of the last answer, as far as it came."""

    def ask(self, question: str) -> Turn:
        """Ask a question; raises UserError for what is none."""
        return Turn(self, self.conversation, question)

    def retry(self) -> Turn:
        """Ask the last question again. Its earlier answer is kept until there is another one."""
        if self.unanswered is not None:
            return self.ask(self.unanswered)
        before, question = self.conversation.without_last()
        return Turn(self, before, question)

    def undo(self) -> str:
        """Take the last turn back, and return its question; raises UserError where there is none.

        A question that got no answer is no part of the conversation: `retry` asks it in what is left.
        """
        self.conversation, question = self.conversation.without_last()
        return question


class Turn:
    """A question, and its answer while it comes. Iterate for the events, `keep` what was said, read its figures."""

    def __init__(self, session: Session, before: Conversation, question: str) -> None:
        self._session, self._before, self._question = session, before, question
        self._messages = before.asking(question)
        self._assembler = Assembler(session.params.stop)

    @property
    def text(self) -> str:
        """The answer in reading order, as far as it may be shown."""
        return self._assembler.text

    def stream(self, sigint: SigintHandler | None = None) -> Generator[Event, None, Stats]:
        """Ask, and pass the events on; returns the figures. Raises what the backend raises.

        Raises KeyboardInterrupt where `sigint` noted one.
        """
        session = self._session
        if self._before is session.conversation:
            session.unanswered = self._question
        session.events = []
        events: Generator[Event, None, Stats] = session.backend.stream(self._messages, session.params)
        if sigint is not None:
            events = sigint.watched(events, session.at_once)
        stats = yield from self._noted(events)
        self._assembler.end()
        return stats

    def keep(self) -> None:
        """Add question and answer to the conversation; raises RunError where nothing was said."""
        if not self.text.strip():
            raise RunError("the answer is empty; the chat goes on without this turn")
        session = self._session
        session.conversation = self._before.with_turn(self._question, self.text)
        session.unanswered = None

    def _noted(self, events: Generator[Event, None, Stats]) -> Generator[Event, None, Stats]:
        try:
            while True:
                try:
                    event = next(events)
                except StopIteration as end:
                    stats: Stats = end.value
                    return stats
                self._session.events.append(event)
                self._assembler.feed(event)
                yield event
        finally:
            events.close()


def last_events(session: Session) -> list[Event]:
    """The events of the last answer; raises UserError where there was none."""
    if not session.events:
        raise UserError("there is no answer yet: ask something first")
    return session.events
