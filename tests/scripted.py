"""An engine that answers with a given tree: the command line and the views can be tested without a model."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import replace

from apar.decoding.answer import Answer, mode_of
from apar.decoding.params import Prompt, SamplingParams
from apar.errors import RequestError
from apar.events import Delta, Event, replay
from apar.stats import event_stats
from apar.tree import Node, ParagraphTree
from tests.trees import encoded

LIST = ParagraphTree(
    Node("Two things:\n\n1. Rest:", Node(" sleep early."), Node("\n2. Walk:", Node(" go outside."), Node("\n")))
)


class Scripted:
    """Streams one tree for every prompt, with `stream` as `LLM` has it.

    A tree that is not encoded is streamed word by word, without token ids.
    """

    def __init__(self, tree: ParagraphTree) -> None:
        self._tree = tree

    def stream(self, prompt: Prompt, params: SamplingParams | None = None) -> Generator[Event, None, Answer]:
        """The tree's events; without `params.fork` those of its text in one thread.

        Sampling makes no difference to a script. Raises RequestError for what would cut it: stop strings, or
        fewer `max_tokens` than it has.
        """
        wanted = params or SamplingParams()
        events = tuple(replay(self._tree if wanted.fork else self._tree.limited(0)))
        tokens = sum(isinstance(event, Delta) for event in events)
        if wanted.stop or tokens > wanted.max_tokens:
            raise RequestError(f"a script of {tokens} tokens is told whole: no stop, and max_tokens at least that")
        return self._stream(events, wanted)

    def _stream(self, events: tuple[Event, ...], params: SamplingParams) -> Generator[Event, None, Answer]:
        began = time.perf_counter()
        yield from events
        stats = event_stats(events)
        return Answer(
            text=self._tree.text,
            finish_reason="stop",
            events=events,
            threads=stats.threads,
            forks=stats.forks,
            tokens=stats.tokens,
            decoded=stats.tokens,
            prompt_tokens=0,
            steps=stats.critical_path,
            forward_passes=None,
            seconds=time.perf_counter() - began,
            kv_blocks_peak=0,
            mode=mode_of(params),
            seed=params.seed or 0,
        )


class ScriptedLLM:
    """The scripted backend, a token for each character; every answer takes 1 s.

    It notes what it was asked, under which names a command loaded it, and with which options.
    """

    def __init__(self, tree: ParagraphTree = LIST) -> None:
        self.tree = tree
        self.asked: list[tuple[str, SamplingParams]] = []
        self.loading: dict[str, object] = {}
        self.loaded: list[str] = []

    def stream(self, prompt: str, params: SamplingParams) -> Generator[Event, None, Answer]:
        self.asked.append((prompt, params))
        return (yield from self._tell(prompt, params))

    def _tell(self, prompt: str, params: SamplingParams) -> Generator[Event, None, Answer]:
        # A script is told whole: what would cut it is only noted.
        whole = replace(params, stop=(), max_tokens=10_000, seed=7 if params.seed is None else params.seed)
        answer = yield from Scripted(encoded(self.tree)).stream(prompt, whole)
        return replace(answer, seconds=1.0)

    def generate(self, prompts: Sequence[str], params: SamplingParams) -> list[Answer]:
        self.asked += [(prompt, params) for prompt in prompts]
        return [replace(self._answer(params), choice=choice) for _ in prompts for choice in range(params.n)]

    def _answer(self, params: SamplingParams) -> Answer:
        stream = self._tell("", params)
        while True:
            try:
                next(stream)
            except StopIteration as end:
                answer: Answer = end.value
                return answer
