"""What a step with N threads costs beside one with a single thread, and what a fork costs: the limits of forking."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from apar.bench.replay import ReplayModel
from apar.decoding.forced_answer import ForcedAnswer
from apar.decoding.group import Group
from apar.errors import RunError
from apar.scheduling.core import EngineCore
from apar.tokens import ControlTokens
from apar.tree import Node, ParagraphTree

PLAIN_STEPS = 16
"""Steps that are timed with all threads alive, before and after the burst of forks."""

_TEXT = (1,)


@dataclass(frozen=True, slots=True)
class StepFigures:
    """With `threads` threads: milliseconds a step (median), and over those of one thread the median of the rounds'
    ratios. `fork_microseconds` is the time that a fork adds to the two passes it is in, the one that samples
    `[Fork]` and the one that runs the child first; all threads fork at once, and the median is a fork's part.
    """

    threads: int
    milliseconds: float
    ratio: float
    ratio_low: float
    ratio_high: float
    fork_microseconds: float


@dataclass(frozen=True, slots=True)
class _Timing:
    """One round with some number of threads, in seconds."""

    step: float
    fork: float


def step_control(bench_model: ReplayModel) -> ControlTokens:
    """Control tokens for `measure_steps`."""
    return bench_model.control_tokens((*_TEXT, 2))


def rows_for(threads: Sequence[int]) -> int:
    """How many rows an engine needs for so many threads: after their fork there are twice as many."""
    return 2 * max(threads)


def measure_steps(
    engine: EngineCore,
    control: ControlTokens,
    threads: Sequence[int],
    prompt_tokens: int,
    rounds: int,
    report: Callable[[], None],
) -> list[StepFigures]:
    """Time each number of threads in turn, round after round; one round warms up."""
    counts = sorted({1, *threads})
    timings: dict[int, list[_Timing]] = defaultdict(list)
    for turn in range(rounds + 1):
        for count in counts:
            timing = _time(engine, control, count, [2] * prompt_tokens)
            if turn:
                timings[count].append(timing)
        report()
    return [_figures(count, timings[count], timings[1]) for count in counts]


def step_tree(threads: int, tail: int) -> ParagraphTree:
    """A tree that opens `threads` threads one after another, each of which forks once in one and the same step.

    All are alive for `tail` steps before that step, and for `tail` steps after it.
    """
    whole = 2 * threads + tail

    def thread(start: int) -> Node:
        """A thread that begins in step `start`: text, a fork in step `whole`, text again."""
        return Node("", Node("", tokens=_TEXT * tail), Node("", tokens=_TEXT * tail), _TEXT * (whole - start))

    # The root forks in every second step; its last node forks with the others.
    node = thread(2 * (threads - 1))
    for number in reversed(range(threads - 1)):
        node = Node("", thread(2 * number + 2), node, _TEXT)
    return ParagraphTree(node)


def _time(engine: EngineCore, control: ControlTokens, threads: int, prompt: list[int]) -> _Timing:
    tree = step_tree(threads, PLAIN_STEPS)
    script = ForcedAnswer.forked(tree, control, min(control.eos))
    engine.pool.forget(range(engine.pool.num_blocks))
    group = engine.add(prompt, script.params(), forced=script)
    seconds = _seconds_by_step(engine, group)
    fork = 2 * threads + PLAIN_STEPS
    before = statistics.median(seconds[fork - PLAIN_STEPS + 1 : fork])
    after = statistics.median(seconds[fork + 2 : fork + PLAIN_STEPS])
    return _Timing(before, (seconds[fork] - before + seconds[fork + 1] - after) / threads)


def _seconds_by_step(engine: EngineCore, group: Group) -> list[float]:
    seconds = []
    while not group.done:
        began = time.perf_counter()
        engine.step()
        seconds.append(time.perf_counter() - began)
    if group.error:
        raise group.error
    if len(seconds) != group.step:
        raise RunError("the cache or the rows are too few to run all threads in one pass; take fewer --threads")
    return seconds


def _figures(threads: int, timings: Sequence[_Timing], single: Sequence[_Timing]) -> StepFigures:
    ratios = [one.step / base.step for one, base in zip(timings, single, strict=True)]
    return StepFigures(
        threads,
        statistics.median(one.step for one in timings) * 1e3,
        statistics.median(ratios),
        min(ratios),
        max(ratios),
        statistics.median(one.fork for one in timings) * 1e6,
    )
