"""Log probabilities in reading order, each with the character of the answer where its token begins."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from apar.assemble import Reader, Recording
from apar.decoding.answer import Answer
from apar.events import Delta, Event, TokenLogprob

LEAST = -9999.0
"""Stands for minus infinity, which JSON does not have."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A token's log probability, and the character of the answer where the token begins."""

    start: int
    token: TokenLogprob


class LogprobsInOrder:
    """Hands out the log probabilities of tokens in reading order, when the text of each begins to be shown."""

    def __init__(self) -> None:
        self._recording = Recording()
        self._reader = Reader(self._recording)
        self._waiting: deque[tuple[int, Delta]] = deque()  # with the character where each begins
        self._length = 0

    def take(self, events: Sequence[Event], shown: int, all_is_shown: bool) -> list[Placed]:
        """Those of tokens that begin before character `shown`, or of all that are left."""
        for event in events:
            self._recording.add(event)
        for delta in self._reader.read(ended=all_is_shown):
            self._waiting.append((self._length, delta))
            self._length += len(delta.text)
        taken: list[Placed] = []
        while self._waiting and (all_is_shown or self._waiting[0][0] < shown):
            start, delta = self._waiting.popleft()
            taken += [Placed(start, logprob) for logprob in delta.logprobs]
        return taken


def placed_logprobs(answer: Answer) -> list[Placed]:
    """Those of all tokens of a whole answer."""
    placed = LogprobsInOrder().take(answer.events, len(answer.text), all_is_shown=True)
    # Behind a stop text tokens were decoded that are no part of the answer.
    return placed[: len(answer.logprobs)]
