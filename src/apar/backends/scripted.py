"""A backend that decodes nothing: it tells a given tree as if a model had just answered with it."""

from __future__ import annotations

import time
from collections.abc import Generator

from apar.decoding.answer import Answer
from apar.decoding.params import Prompt, SamplingParams
from apar.errors import RequestError
from apar.events import Delta, Event, replay
from apar.stats import event_stats
from apar.tree import Node, ParagraphTree


class Scripted:
    """Streams one tree for every prompt, with `stream` as `LLM` has it. For tests and shows.

    A tree that is not encoded is told word by word, without token ids.
    """

    def __init__(self, tree: ParagraphTree) -> None:
        self._tree = tree

    def stream(self, prompt: Prompt, params: SamplingParams | None = None) -> Generator[Event, None, Answer]:
        """The tree's events; without `params.fork` those of its text in one thread.

        Sampling makes no difference to a script. Raises RequestError for what would cut it: stop strings, or
        fewer `max_tokens` than it has.
        """
        wanted = params or SamplingParams()
        events = tuple(replay(self._tree if wanted.fork else _sequential(self._tree)))
        tokens = sum(isinstance(event, Delta) for event in events)
        if wanted.stop or tokens > wanted.max_tokens:
            raise RequestError(f"a script of {tokens} tokens is told whole: no stop, and max_tokens at least that")
        return self._tell(events, wanted)

    def _tell(self, events: tuple[Event, ...], params: SamplingParams) -> Generator[Event, None, Answer]:
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
            mode="forked" if params.fork else "sequential",
            seed=params.seed or 0,
        )


def _sequential(tree: ParagraphTree) -> ParagraphTree:
    """The tree's text as one node."""
    tokens = [node.tokens for node in tree.nodes()]
    joined = tuple(token for part in tokens if part is not None for token in part)
    return ParagraphTree(Node(tree.text, tokens=None if None in tokens else joined))
