"""Decoding many answers with any engine, some of them at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from apar.data.prompts import FilePrompt
from apar.decoding.answer import Answer
from apar.decoding.params import Prompt, SamplingParams
from apar.errors import RequestError
from apar.events import Event


class Engine(Protocol):
    """`LLM` and `SyncBackend` are engines."""

    def stream(self, prompt: Prompt, params: SamplingParams) -> Generator[Event, None, Answer]:
        """The events of one answer as they happen; the generator returns the answer."""


@dataclass(frozen=True, slots=True)
class WantedAnswer:
    """An answer that is to be decoded; `params` are of one answer."""

    id: str
    prompt: FilePrompt
    params: SamplingParams


def decode_all(
    engine: Engine, wanted: Iterable[WantedAnswer], concurrency: int
) -> Iterator[tuple[WantedAnswer, Answer | RequestError]]:
    """Each answer in order, or why the engine refuses its request; at most `concurrency` are decoded at a time.

    Raises what decoding raises. Closing the iterator cancels what is under way.
    """
    under_way = deque[tuple[WantedAnswer, _Decoding | RequestError]]()
    try:
        for each in wanted:
            under_way.append((each, _begin(engine, each)))
            if len(under_way) >= concurrency:
                yield _end(*under_way.popleft())
        while under_way:
            yield _end(*under_way.popleft())
    finally:
        for _, decoding in under_way:
            if isinstance(decoding, _Decoding):
                decoding.stream.close()


class _Decoding:
    """An answer under way. Its first event is waited for: an engine in process begins with the first that is asked."""

    def __init__(self, stream: Generator[Event, None, Answer]) -> None:
        self.stream = stream
        next(stream)

    def answer(self) -> Answer:
        while True:
            try:
                next(self.stream)
            except StopIteration as end:
                answer: Answer = end.value
                return answer


def _begin(engine: Engine, wanted: WantedAnswer) -> _Decoding | RequestError:
    try:
        return _Decoding(engine.stream(wanted.prompt.messages, wanted.params))
    except RequestError as error:
        return error


def _end(wanted: WantedAnswer, decoding: _Decoding | RequestError) -> tuple[WantedAnswer, Answer | RequestError]:
    return wanted, decoding.answer() if isinstance(decoding, _Decoding) else decoding
