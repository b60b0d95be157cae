"""Real answers whose tokens are forced through an engine, sequentially and forked: one at a time, or many at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from apar.bench.answers import BenchAnswer
from apar.decoding.forced_answer import ForcedAnswer
from apar.errors import UserError
from apar.stats import TreeStats, tree_stats
from apar.tokens import ControlTokens, TextCodec
from apar.tree import ParagraphTree

Mode = Literal["sequential", "forked"]
MODES: tuple[Mode, Mode] = ("sequential", "forked")


@dataclass(frozen=True, slots=True)
class ReplayAnswer:
    """An answer made ready: its prompt's ids and the forced answer for each way to decode it."""

    id: str
    category: str
    prompt: tuple[int, ...]
    forced: dict[Mode, ForcedAnswer]
    stats: TreeStats

    @property
    def longest(self) -> int:
        """Tokens of the longest path, with the prompt."""
        return len(self.prompt) + max(answer.longest for answer in self.forced.values())


@dataclass(frozen=True, slots=True)
class ReplayResult:
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
class LoadResult:
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


class ReplayModel(Protocol):
    """A model whose tokens answers are forced in."""

    @property
    def codec(self) -> TextCodec: ...

    def control_tokens(self, used: Iterable[int]) -> ControlTokens:
        """Its control tokens and end-of-sequence, or in place of those that it lacks ids not `used`."""


class ReplayEngine(Protocol):
    """An engine that decodes given answers. `left_out` counts answers that are longer than its context."""

    answers: list[ReplayAnswer]
    left_out: int

    def run_one(self, answer: ReplayAnswer, mode: Mode) -> ReplayResult:
        """Decode an answer alone; nothing of it is in the cache before."""

    def run_all(self, mode: Mode, concurrency: int | None) -> LoadResult:
        """Decode all answers, `concurrency` of them at a time; None is all at once."""

    def facts(self) -> dict[str, Any]:
        """Which engine it is and how it was set up, for the report."""


def replay_answers(
    bench_model: ReplayModel, answers: Sequence[BenchAnswer]
) -> tuple[ControlTokens, list[ReplayAnswer]]:
    """The answers in the model's tokens, and the control tokens that they fork with."""
    encoded = [_encode(bench_model, answer) for answer in answers]
    control = bench_model.control_tokens(_ids(encoded))
    return control, [_forced(answer, tree, prompt, control) for answer, tree, prompt in encoded]


def fitting(answers: Sequence[ReplayAnswer], context: int) -> list[ReplayAnswer]:
    """The answers shorter than the context; raises UserError where there is none."""
    found = [answer for answer in answers if answer.longest < context]
    if not found:
        raise UserError(f"no answer fits into the context of {context} tokens; give more --num-blocks")
    return found


def _encode(model: ReplayModel, answer: BenchAnswer) -> tuple[BenchAnswer, ParagraphTree, tuple[int, ...]]:
    return answer, answer.tree.encode(model.codec.encode), tuple(model.codec.encode_prompt(answer.messages))


def _ids(encoded: Sequence[tuple[BenchAnswer, ParagraphTree, tuple[int, ...]]]) -> set[int]:
    """All ids that occur in the prompts and the answers."""
    ids: set[int] = set()
    for _, tree, prompt in encoded:
        ids.update(prompt)
        for node in tree.nodes():
            ids.update(node.tokens or ())
    return ids


def _forced(answer: BenchAnswer, tree: ParagraphTree, prompt: tuple[int, ...], control: ControlTokens) -> ReplayAnswer:
    eos = min(control.eos)
    forced: dict[Mode, ForcedAnswer] = {
        "sequential": ForcedAnswer.sequential(tree, eos),
        "forked": ForcedAnswer.forked(tree, control, eos),
    }
    return ReplayAnswer(answer.id, answer.category, prompt, forced, _stats(tree, len(prompt)))


def _stats(tree: ParagraphTree, prompt_tokens: int) -> TreeStats:
    """The figures of an encoded tree by its own tokens; equal texts have equal tokens."""
    lengths = {node.text: len(node.tokens or ()) for node in tree.nodes()}
    return tree_stats(tree, lengths.__getitem__, prompt_tokens)


def choose_control(own: ControlTokens | None, eos: frozenset[int], used: Iterable[int], size: int) -> ControlTokens:
    """A model's `own` control tokens, or of its `size` ids some that are neither `used` nor ends (`eos`).

    Raises UserError where no ids are left.
    """
    if own is not None:
        return own
    taken = set(used) | eos
    free = [token for token in reversed(range(size)) if token not in taken][:3]
    if len(free) < 3:
        raise UserError(f"the texts use all {size} ids of the model: none is left for control tokens")
    return ControlTokens(free[0], free[1], eos or frozenset(free[2:]))
