"""Chats with answers that are known beforehand."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from apar.chat.conversation import Conversation
from apar.chat.session import Session, Turn
from apar.chat.sigint import SigintHandler
from apar.decoding.params import SamplingParams
from apar.events import Event, replay
from tests.scripted import LIST, ScriptedLLM
from tests.trees import encoded


def session(backend: Any = None, conversation: Conversation | None = None) -> Session:
    return Session(backend or ScriptedLLM(), SamplingParams(), conversation or Conversation("Be brief."))


def read(turn: Turn, sigint: SigintHandler | None = None) -> Turn:
    for _ in turn.stream(sigint):
        pass
    turn.keep()
    return turn


class Failing:
    """Fails after some events."""

    def __init__(self, count: int, error: Exception) -> None:
        self.count, self.error, self.closed = count, error, 0

    def stream(self, prompt: object, params: object) -> Generator[Event, None, object]:
        try:
            yield from list(replay(encoded(LIST)))[: self.count]
            raise self.error
        finally:
            self.closed += 1
