"""Chats with answers that are known beforehand."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from apar.chat.conversation import Conversation
from apar.chat.interrupts import Interrupts
from apar.chat.session import Session, Turn
from apar.decoding.params import SamplingParams
from apar.events import Event, replay
from tests.scripted import LIST, ScriptedLLM
from tests.trees import encoded


def session(speaker: Any = None, conversation: Conversation | None = None) -> Session:
    return Session(speaker or ScriptedLLM(), SamplingParams(), conversation or Conversation("Be brief."))


def read(turn: Turn, interrupts: Interrupts | None = None) -> Turn:
    for _ in turn.stream(interrupts):
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
