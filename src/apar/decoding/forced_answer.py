"""Answers that are given: every thread takes the next token that is forced on it, whatever the model would say.

The forward pass and the sampler do all their work, so that time and memory are those of a model that answers so
by itself: what a benchmark measures is the structure of real answers on a model of any weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain

from apar.decoding.params import SamplingParams
from apar.errors import RequestError
from apar.tokens import ControlTokens
from apar.tree import ROOT, Node, ParagraphTree, ThreadPath


@dataclass(frozen=True, slots=True)
class ForcedAnswer:
    """The tokens that each thread of an answer takes, by its path: its `[Fork]`s and a last end-of-sequence included.

    `tokens` are the visible ones, `longest` the tokens of the longest path with its control tokens and without
    the prompt.
    """

    threads: Mapping[ThreadPath, tuple[int, ...]]
    tokens: int
    longest: int

    @classmethod
    def forked(cls, tree: ParagraphTree, control: ControlTokens, eos: int) -> ForcedAnswer:
        """The threads of an encoded tree, in whose text neither `control` nor `eos` may occur."""
        threads: dict[ThreadPath, tuple[int, ...]] = {}
        lengths: dict[ThreadPath, int] = {}
        for thread in tree.threads():
            ids: list[int] = []
            before = lengths.setdefault(thread.path, 0)
            children = 0
            for node in thread.nodes:
                ids += _tokens(node)
                if node.forks:
                    ids.append(control.fork)
                    lengths[(*thread.path, children)] = before + len(ids) + 1  # [Child]
                    children += 1
            lengths[thread.path] += len(ids)
            threads[thread.path] = (*ids, eos)
        return cls(threads, sum(len(_tokens(node)) for node in tree.nodes()), max(lengths.values()))

    @classmethod
    def sequential(cls, tree: ParagraphTree, eos: int) -> ForcedAnswer:
        """The same tokens in reading order in one thread."""
        ids = tuple(chain.from_iterable(_tokens(node) for node in tree.nodes()))
        return cls({ROOT: (*ids, eos)}, len(ids), len(ids))

    @property
    def depth(self) -> int:
        return max(map(len, self.threads))

    @property
    def budget(self) -> int:
        """Visible tokens that let every fork pass: at a fork two of every live thread have to be left."""
        return self.tokens + (2 * len(self.threads) if self.forks else 0)

    @property
    def forks(self) -> bool:
        return len(self.threads) > 1

    def params(self) -> SamplingParams:
        """Limits that let the whole answer pass, and forking where it forks."""
        count = len(self.threads)
        # One more than needed, so that the answer ends by its end-of-sequence.
        return SamplingParams(
            max_tokens=self.budget + 1, fork=self.forks, max_threads=count, max_depth=self.depth, seed=0
        )

    def check(self, params: SamplingParams, prompt_tokens: int, context: int) -> None:
        """Raise RequestError if the request would cut the answer, which is forced whole, or asks what it has not."""
        if params.stop:
            raise RequestError("an answer is forced whole: leave out the stop strings")
        if params.logprobs is not None:
            raise RequestError("forced tokens are not the model's choice: leave out logprobs")
        if params.by_rules:
            raise RequestError("a forced answer forks where its tokens say: leave out fork_by 'rules'")
        if params.repeated_leads != "allow":
            raise RequestError("an answer is forced whole: leave out repeated_leads")
        if self.forks and not params.fork:
            raise RequestError(f"the forced answer has {len(self.threads)} threads, and fork is off: leave it on")
        limits = (
            ("max_tokens", self.budget, params.max_tokens),
            ("max_threads", len(self.threads), params.max_threads),
            ("max_depth", self.depth, params.max_depth),
            ("the context", prompt_tokens + self.longest + 1, context),
        )
        for name, needed, limit in limits:
            if needed > limit:
                raise RequestError(f"the forced answer may need {needed} and {name} is {limit}; it is forced whole")


def _tokens(node: Node) -> tuple[int, ...]:
    if node.tokens is None:
        raise RequestError("a forced answer needs a tree with tokens: encode it first")
    return node.tokens
