"""An engine that answers with a given tree: the command line and the views can be tested without a model."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace

from apar.backends.scripted import Scripted
from apar.decoding.answer import Answer
from apar.decoding.params import SamplingParams
from apar.events import Event
from apar.tree import Node, ParagraphTree
from tests.trees import encoded

LIST = ParagraphTree(
    Node("Two things:\n\n1. Rest:", Node(" sleep early."), Node("\n2. Walk:", Node(" go outside."), Node("\n")))
)


class ScriptedLLM:
    """The scripted backend, a token for each character; every answer takes 1 s.

    It notes what it was asked, and with which options a command loaded it.
    """

    def __init__(self, tree: ParagraphTree = LIST) -> None:
        self.tree = tree
        self.asked: list[tuple[str, SamplingParams]] = []
        self.loading: dict[str, object] = {}

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
