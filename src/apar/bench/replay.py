"""Real answers forced through an engine, sequentially and forked: one at a time, or many at once."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from apar.bench.answers import BenchAnswer
from apar.bench.target import Target
from apar.engine.script import Script
from apar.engine.sequence import Group
from apar.errors import UserError
from apar.stats import TreeStats, tree_stats
from apar.tokens import ControlTokens
from apar.tree import ParagraphTree

Mode = Literal["sequential", "forked"]
MODES: tuple[Mode, Mode] = ("sequential", "forked")


@dataclass(frozen=True, slots=True)
class ScriptedAnswer:
    """An answer made ready: its prompt's ids and a script for each way to decode it."""

    id: str
    category: str
    prompt: tuple[int, ...]
    scripts: dict[Mode, Script]
    stats: TreeStats

    def fits(self, context: int) -> bool:
        return all(len(self.prompt) + script.longest < context for script in self.scripts.values())


@dataclass(frozen=True, slots=True)
class Run:
    """One answer decoded alone.

    `seconds` and `passes` are of decoding, after the pass that reads the prompt and samples the first token;
    that one took `prompt_seconds`. KV blocks are counted without the blocks given back in the same pass for
    the mean, with them for the peak.
    """

    seconds: float
    passes: int
    prompt_seconds: float
    kv_blocks_peak: int
    kv_blocks_mean: float


@dataclass(frozen=True, slots=True)
class Load:
    """All answers decoded together: `latencies` are the seconds from an answer's request to its end, in order.

    KV blocks are those held after each pass, by all answers together.
    """

    seconds: float
    passes: int
    tokens: int
    latencies: tuple[float, ...]
    kv_blocks_peak: int
    kv_blocks_mean: float
    preemptions: int


class Player:
    """An engine that tells given answers. `left_out` counts answers that are longer than its context."""

    def __init__(self, target: Target, answers: Sequence[BenchAnswer], num_blocks: int | None, max_rows: int) -> None:
        encoded = [_encode(target, answer) for answer in answers]
        self.control = target.control_tokens(_ids(encoded))
        self.engine = target.engine(self.control, num_blocks, max_rows)
        scripted = [_scripted(answer, tree, prompt, self.control) for answer, tree, prompt in encoded]
        self.answers = [answer for answer in scripted if answer.fits(self.engine.context)]
        self.left_out = len(scripted) - len(self.answers)
        if not self.answers:
            raise UserError(f"no answer fits into the context of {self.engine.context} tokens; give more --kv-blocks")

    def tell(self, answer: ScriptedAnswer, mode: Mode) -> Run:
        """Decode an answer alone; nothing of it is in the cache before."""
        self._forget()
        began = time.perf_counter()
        group = self._add(answer, mode)
        while not group.events:
            self._step(group)
        first, passes = time.perf_counter(), group.passes
        held = [self._held]
        while not group.done:
            self._step(group)
            held.append(self._held)
        seconds = time.perf_counter() - first
        return Run(
            seconds, group.passes - passes, first - began, group.blocks_peak, statistics.fmean(held[:-1] or held)
        )

    def tell_all(self, mode: Mode, concurrency: int | None) -> Load:
        """Decode all answers, `concurrency` of them at a time; None is all at once."""
        self._forget()
        waiting = iter(self.answers)
        groups: list[Group] = []
        held: list[int] = []
        preemptions = self.engine.scheduler.preemptions
        began = time.perf_counter()
        while self._fill(groups, waiting, mode, concurrency):
            self.engine.step()
            held.append(self._held)
        seconds = time.perf_counter() - began
        for group in groups:
            _check(group)
        return Load(
            seconds,
            len(held),
            sum(answer.stats.tokens for answer in self.answers),
            tuple(group.ended - group.began for group in groups),
            max(held),
            statistics.fmean(held),
            self.engine.scheduler.preemptions - preemptions,
        )

    def _fill(
        self, groups: list[Group], waiting: Iterator[ScriptedAnswer], mode: Mode, concurrency: int | None
    ) -> bool:
        """Add answers up to the concurrency; whether anything is left to run."""
        while concurrency is None or len(self.engine.groups) < concurrency:
            answer = next(waiting, None)
            if answer is None:
                break
            groups.append(self._add(answer, mode))
        return bool(self.engine.groups)

    def _add(self, answer: ScriptedAnswer, mode: Mode) -> Group:
        script = answer.scripts[mode]
        return self.engine.add(answer.prompt, script.params(), script=script)

    def _step(self, group: Group) -> None:
        self.engine.step()
        _check(group)

    def _forget(self) -> None:
        """Let no run find what another stored: every one reads its prompts itself."""
        self.engine.pool.forget(range(self.engine.pool.num_blocks))

    @property
    def _held(self) -> int:
        return self.engine.pool.num_blocks - self.engine.pool.num_free


def _check(group: Group) -> None:
    if group.error:
        raise group.error


def _encode(target: Target, answer: BenchAnswer) -> tuple[BenchAnswer, ParagraphTree, tuple[int, ...]]:
    return answer, answer.tree.encode(target.codec.encode), tuple(target.codec.encode_prompt(answer.messages))


def _ids(encoded: Sequence[tuple[BenchAnswer, ParagraphTree, tuple[int, ...]]]) -> set[int]:
    """All ids that occur in the prompts and the answers."""
    ids: set[int] = set()
    for _, tree, prompt in encoded:
        ids.update(prompt)
        for node in tree.nodes():
            ids.update(node.tokens or ())
    return ids


def _scripted(
    answer: BenchAnswer, tree: ParagraphTree, prompt: tuple[int, ...], control: ControlTokens
) -> ScriptedAnswer:
    eos = min(control.eos)
    scripts: dict[Mode, Script] = {
        "sequential": Script.sequential(tree, eos),
        "forked": Script.forked(tree, control, eos),
    }
    return ScriptedAnswer(answer.id, answer.category, prompt, scripts, _stats(tree, len(prompt)))


def _stats(tree: ParagraphTree, prompt_tokens: int) -> TreeStats:
    """The figures of an encoded tree by its own tokens; equal texts have equal tokens."""
    lengths = {node.text: len(node.tokens or ()) for node in tree.nodes()}
    return tree_stats(tree, lengths.__getitem__, prompt_tokens)
