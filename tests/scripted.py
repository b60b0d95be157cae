"""An engine that answers with a given tree: the command line and the views can be tested without a model."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from apar.assemble import Assembler
from apar.engine.answer import Answer
from apar.engine.params import SamplingParams
from apar.events import Event, replay
from apar.stats import event_stats
from apar.tree import Node, ParagraphTree
from tests.trees import encoded

LIST = ParagraphTree(
    Node("Two things:\n\n1. Rest:", Node(" sleep early."), Node("\n2. Walk:", Node(" go outside."), Node("\n")))
)


class ScriptedLLM:
    """Answers every prompt with `tree`, a token for each character; sequentially with its text."""

    def __init__(self, tree: ParagraphTree = LIST) -> None:
        self.tree = tree
        self.asked: list[tuple[str, SamplingParams]] = []

    def stream(self, prompt: str, params: SamplingParams) -> Generator[Event, None, Answer]:
        self.asked.append((prompt, params))
        tree = self.tree if params.fork else ParagraphTree.leaf(self.tree.text)
        events = tuple(replay(encoded(tree)))
        yield from events
        return _answer(events, params)

    def generate(self, prompts: Sequence[str], params: SamplingParams) -> list[Answer]:
        self.asked += [(prompt, params) for prompt in prompts]
        return []


def _answer(events: tuple[Event, ...], params: SamplingParams) -> Answer:
    stats = event_stats(events)
    assembler = Assembler(params.stop)
    return Answer(
        text="".join([assembler.feed(event) for event in events]),
        finish_reason="stop",
        events=events,
        threads=stats.threads,
        forks=stats.forks,
        tokens=stats.tokens,
        prompt_tokens=5,
        steps=stats.critical_path,
        critical_path=stats.critical_path,
        seconds=1.0,
        kv_blocks_peak=3,
        mode="forked" if params.fork else "sequential",
        seed=7 if params.seed is None else params.seed,
    )
