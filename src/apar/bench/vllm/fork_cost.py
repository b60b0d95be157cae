"""What a fork costs in a real vLLM: tokens computed again and passes that go by; and what a pass with N threads costs.

Both are read from the figures that vLLM's scheduler gives of each pass, in the same way for both ways to fork.
"""

from __future__ import annotations

import itertools
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from apar.bench.model import BenchModel
from apar.bench.steps import PLAIN_STEPS, step_tree
from apar.bench.vllm.engine_setup import EngineSetup
from apar.bench.vllm.pass_log import Pass, decoding
from apar.bench.vllm.replay import VllmReplay
from apar.decoding.forced_answer import ForcedAnswer
from apar.errors import RunError, UserError
from apar.tokens import ControlTokens
from apar.tree import Node, ParagraphTree

FORKS = 16
"""Forks of an answer for the costs of a fork, one in the other."""

LEAD = 11
"""Tokens before each fork: no divisor of a block, so that forks come at many places of one."""

_TEXT, _PROMPT = 1, 2
_OWN = 2
"""`[Fork]`, which the parent can compute in the same pass at best, and `[Child]`: what every child has to compute."""


@dataclass(frozen=True, slots=True)
class ForkFigures:
    """Over `forks` forks, each of a thread that goes on: `computed` tokens (mean) before a child's first token,
    `recomputed` ones beyond `[Fork]` and `[Child]` (mean, most), and the `delay` in passes from the one that samples
    `[Fork]` to the one that samples the child's first token (mean, most): 1 is the very next one.
    """

    forks: int
    computed: float
    recomputed: float
    recomputed_most: int
    delay: float
    delay_most: int


@dataclass(frozen=True, slots=True)
class PassFigures:
    """PassLog with `threads` threads alive: milliseconds (median), and over those with one thread the median, the
    least and the most of the rounds' ratios.
    """

    threads: int
    milliseconds: float
    ratio: float
    ratio_low: float
    ratio_high: float


@dataclass(frozen=True, slots=True)
class _Fork:
    computed: int
    delay: int


class ForkBench:
    """A vLLM with room for the answers that are forced here. Use `engine` as a context manager, or close it."""

    def __init__(self, bench_model: BenchModel, setup: EngineSetup, threads: Sequence[int], prompt_tokens: int) -> None:
        control = bench_model.control_tokens((_TEXT, _PROMPT))
        self._prompt = [_PROMPT] * prompt_tokens
        self._chain = _forced(fork_tree(FORKS, LEAD), control)
        self._crowds = {count: _forced(step_tree(count, PLAIN_STEPS), control) for count in sorted({1, *threads})}
        longest = prompt_tokens + max(answer.longest for answer in (self._chain, *self._crowds.values()))
        context = setup.context(bench_model, longest)
        if context <= longest:
            raise UserError(
                f"{longest + 1} tokens are needed and the context is {context}: take fewer --threads or --prompt-tokens"
            )
        self.engine = VllmReplay(bench_model, control, setup, context)

    def measure(self, rounds: int, report: Callable[[], None]) -> tuple[ForkFigures, list[PassFigures]]:
        """Decode each answer in turn, round after round; one round warms up."""
        forks: list[_Fork] = []
        seconds: dict[int, list[float]] = defaultdict(list)
        for turn in range(rounds + 1):
            found = forks_of(self._decode(self._chain))
            for count, answer in self._crowds.items():
                each = _seconds(self._decode(answer), count)
                if turn:
                    seconds[count].append(each)
            if turn:
                forks += found
            report()
        return fork_figures(forks), [_figures(count, seconds[count], seconds[1]) for count in self._crowds]

    def _decode(self, answer: ForcedAnswer) -> Sequence[Pass]:
        return decoding(self.engine.decode([(self._prompt, answer)], 1).passes)


def fork_tree(forks: int, lead: int) -> ParagraphTree:
    """A chain: every thread has `lead` tokens, forks, and goes on as long; its child does the same."""
    detail = Node("", tokens=(_TEXT,) * lead)
    for _ in range(forks):
        detail = Node("", detail, Node("", tokens=(_TEXT,) * lead), (_TEXT,) * lead)
    return ParagraphTree(detail)


def forks_of(passes: Sequence[Pass]) -> list[_Fork]:
    """The forks of `fork_tree`, each of its threads known by the pass in which its request begins.

    Raises RunError where a pass begins more than one.
    """
    births = [(number, one) for number, one in enumerate(passes) if one.admitted and number]
    if any(one.admitted > 1 for _, one in births) or len(births) != FORKS:
        raise RunError(f"of {FORKS} children {len(births)} passes began one or more; nothing else may run in this vLLM")
    numbers = [0, *(number for number, _ in births)]
    return [
        _Fork(one.queried - one.found, number - (before + LEAD))
        for before, (number, one) in zip(numbers, births, strict=False)
    ]


def fork_figures(forks: Sequence[_Fork]) -> ForkFigures:
    """The figures of at least one fork."""
    computed, delays = [one.computed for one in forks], [one.delay for one in forks]
    mean = statistics.fmean(computed)
    return ForkFigures(len(forks), mean, mean - _OWN, max(computed) - _OWN, statistics.fmean(delays), max(delays))


def _forced(tree: ParagraphTree, control: ControlTokens) -> ForcedAnswer:
    return ForcedAnswer.forked(tree, control, min(control.eos))


def _seconds(passes: Sequence[Pass], threads: int) -> float:
    """The median duration of the passes with so many threads before and after; raises RunError where there is none."""
    found = [
        now.reported - before.reported
        for before, now in itertools.pairwise(passes)
        if before.requests == now.requests == threads
    ]
    if not found:
        raise RunError(f"no pass had {threads} threads: the cache or the rows are too few; take fewer --threads")
    return statistics.median(found)


def _figures(threads: int, seconds: Sequence[float], single: Sequence[float]) -> PassFigures:
    ratios = [one / base for one, base in zip(seconds, single, strict=True)]
    return PassFigures(threads, statistics.median(seconds) * 1e3, statistics.median(ratios), min(ratios), max(ratios))
