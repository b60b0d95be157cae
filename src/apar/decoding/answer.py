"""An answer: its text, its events, and its figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from itertools import zip_longest
from typing import Any, Literal

from apar.decoding.group import Group
from apar.decoding.params import SamplingParams
from apar.errors import AparError, RunError
from apar.events import Event, Forked, Started, TokenLogprob

Mode = Literal["forked", "sequential", "unforked"]
"""How an answer was decoded: in threads at the same time, in the same threads one at a time, or with forks off."""

Forker = Literal["model", "rules", "off"]
"""What forks: the model by its own tokens, rules by the form of its text, or nothing."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one prompt was answered with.

    `text` is in reading order and ends before a stop string; `events` are raw and tell all that was decoded.
    `finish_reason` is `stop` where the model or a stop string ended the answer, `length` where the budget or
    the context cut any of its threads. `tokens` are the visible ones of all threads; a stop string may leave some
    of those that were `decoded` out. `logprobs` are theirs in reading order, if asked for. `choice` numbers the
    answers to one request. A repeated lead that ended a thread was decoded too, and has no events.

    `steps` are the logical steps that decoding took: in each, every live thread gives one token, visible or not.
    That is the length of the longest thread's path where nothing cut it, so `critical_path`, the name that the
    statistics of trees have for it, is the same number. `forward_passes` counts the passes of the model that the
    answer took part in: more where the engine was short of rows or blocks, where a token was refused, or where only
    so many threads were to be decoded at the same time; None where the engine does not say (vLLM).

    `seconds` run from the request to the end of the answer, `queue_seconds` to the beginning of its first forward
    pass, and `first_token_seconds` to its first visible token (None if it has none). `cached_tokens` of the prompt
    were found in the cache, `kv_blocks_peak` is the most cache blocks that the answer held at one time, and
    `preemptions` says how often it lost blocks to others.

    `drafted` are the draft tokens that were verified for all its threads, one number for the first ones behind a
    path, one for those after them, and so on (with Medusa, by head); `accepted` those of them that were right. The
    events that finish threads have the numbers of each thread.

    `by_rules` says that it forks by its form, without control tokens; `not_forked` then counts, by reason, the leads
    behind which it did not.
    """

    text: str
    finish_reason: Literal["stop", "length"]
    events: tuple[Event, ...]
    threads: int
    forks: int
    tokens: int
    decoded: int
    prompt_tokens: int
    steps: int
    forward_passes: int | None
    seconds: float
    kv_blocks_peak: int
    mode: Mode
    seed: int
    choice: int = 0
    logprobs: tuple[TokenLogprob, ...] = ()
    queue_seconds: float = 0.0
    first_token_seconds: float | None = None
    cached_tokens: int = 0
    preemptions: int = 0
    drafted: tuple[int, ...] = ()
    accepted: tuple[int, ...] = ()
    not_forked: Mapping[str, int] = field(default_factory=dict)
    by_rules: bool = False

    @classmethod
    def of(cls, group: Group) -> Answer:
        """The answer of a finished group."""
        events = tuple(group.events)
        shown = group.assembler.deltas()
        return cls(
            text=group.assembler.text,
            finish_reason=group.finish_reason,
            events=events,
            threads=sum(isinstance(event, Started) for event in events),
            forks=sum(isinstance(event, Forked) for event in events),
            tokens=sum(len(delta.token_ids) for delta in shown),
            decoded=group.visible_tokens,
            prompt_tokens=group.prompt_tokens,
            steps=group.step,
            forward_passes=group.passes or None,
            seconds=group.ended - group.began,
            kv_blocks_peak=group.blocks_peak,
            mode=mode_of(group.params),
            seed=group.seed,
            choice=group.choice,
            logprobs=tuple(logprob for delta in shown for logprob in delta.logprobs),
            queue_seconds=group.entered - group.began,
            first_token_seconds=group.first_token - group.began if group.first_token else None,
            cached_tokens=group.cached_tokens,
            preemptions=group.preemptions,
            drafted=summed(group.drafted.values()),
            accepted=summed(group.accepted.values()),
            by_rules=group.params.by_rules,
            not_forked={str(reason): count for reason, count in group.not_forked.items()},
        )

    @property
    def forker(self) -> Forker:
        """What forked it, if it forked."""
        if self.mode == "unforked":
            return "off"
        return "rules" if self.by_rules else "model"

    @property
    def control_tokens(self) -> int:
        """`[Fork]`, which the model sampled, and `[Child]`, which the engine appended: two for each of its forks."""
        return 0 if self.by_rules else 2 * self.forks

    @property
    def discarded_tokens(self) -> int:
        """Visible tokens that were decoded and left out: behind a stop string, of a repeated lead, or by rules."""
        return self.decoded - self.tokens

    @property
    def critical_path(self) -> int:
        """Logical steps: the length of the longest path, control tokens and end-of-sequence included."""
        return self.steps

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds if self.seconds else 0.0

    @property
    def tokens_per_step(self) -> float:
        return self.tokens / self.steps if self.steps else 0.0

    @property
    def tokens_per_pass(self) -> float | None:
        """Visible tokens of a forward pass; None where the engine does not say how many there were (vLLM)."""
        return self.tokens / self.forward_passes if self.forward_passes else None

    def to_dict(self) -> dict[str, Any]:
        """All but the events, as plain data."""
        data = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "events"}
        data["logprobs"] = [asdict(logprob) for logprob in self.logprobs]
        derived = ("critical_path", "tokens_per_second", "tokens_per_step", "tokens_per_pass")
        return {**data, **{name: getattr(self, name) for name in derived}}


def summed(counts: Iterable[Sequence[int]]) -> tuple[int, ...]:
    """The sums by place of sequences of any length."""
    return tuple(sum(each) for each in zip_longest(*counts, fillvalue=0))


def mode_of(params: SamplingParams) -> Mode:
    """How an answer with these parameters is decoded."""
    if not params.fork:
        return "unforked"
    return "sequential" if params.sequential else "forked"


class BatchError(RunError):
    """Some prompts of a batch failed while running; `answers` holds the others', and None for those."""

    def __init__(self, message: str, answers: list[Answer | None]) -> None:
        super().__init__(message)
        self.answers = answers


def outcome(group: Group) -> Answer | AparError:
    """What a finished group came to."""
    return group.error or Answer.of(group)


def answers(outcomes: Sequence[Answer | AparError]) -> list[Answer]:
    """All answers; raises what a single one failed with, or BatchError where some of many did."""
    failed = [each for each in outcomes if isinstance(each, AparError)]
    if not failed:
        return [each for each in outcomes if isinstance(each, Answer)]
    if len(outcomes) == 1:
        raise failed[0]
    kept = [each if isinstance(each, Answer) else None for each in outcomes]
    raise BatchError(f"{len(failed)} of {len(outcomes)} prompts failed: {failed[0]}", kept) from failed[0]
