"""An answer of an evaluation: which prompt, decoded how, with all its figures; plain data that JSON holds."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from apar.assemble import Assembler
from apar.decoding.answer import Answer
from apar.eval.ways import Way
from apar.skeleton.answering import SkeletonAnswer
from apar.tree import ROOT, ParagraphTree


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer to a prompt; figures as in `apar.decoding.answer.Answer`.

    `forks` are those of its tree, as character offsets; `empty_details` counts threads that ended by themselves
    without text, `unopened_details` those that the budget left without. `timed` says whether it was decoded alone.
    """

    prompt: str
    way: Way
    timed: bool
    text: str
    forks: tuple[tuple[int, int], ...]
    ended: bool
    tokens: int
    steps: int
    forward_passes: int | None
    threads: int
    empty_details: int
    unopened_details: int
    prompt_tokens: int
    cached_tokens: int
    seconds: float
    first_token_seconds: float | None
    kv_blocks_peak: int

    @classmethod
    def of(cls, prompt: str, way: Way, answer: Answer, *, timed: bool) -> Self:
        """What is kept of an engine's answer to the prompt with this id."""
        assembler = _assembled(answer)
        forks = assembler.tree().forks()
        empty = _empty_details(assembler)
        return cls(
            prompt,
            way,
            timed,
            answer.text,
            tuple((fork.at, fork.end) for fork in forks),
            ended=answer.finish_reason == "stop",
            tokens=answer.tokens,
            steps=answer.steps,
            forward_passes=answer.forward_passes,
            threads=answer.threads,
            empty_details=empty,
            unopened_details=answer.forks - len(forks) - empty,
            prompt_tokens=answer.prompt_tokens,
            cached_tokens=answer.cached_tokens,
            seconds=answer.seconds,
            first_token_seconds=answer.first_token_seconds,
            kv_blocks_peak=answer.kv_blocks_peak,
        )

    @classmethod
    def of_skeleton(cls, prompt: str, answer: SkeletonAnswer, *, timed: bool) -> Self:
        """What is kept of an answer by Skeleton-of-Thought: its points are leads, what is behind them details."""
        written = tuple((begin, end) for begin, end in answer.details if end > begin)
        return cls(
            prompt,
            "skeleton",
            timed,
            answer.text,
            written,
            ended=answer.ended,
            tokens=answer.tokens,
            steps=answer.steps,
            forward_passes=sum(request.forward_passes or 0 for request in answer.requests) or None,
            threads=1 + len(answer.details),
            empty_details=len(answer.details) - len(written),
            unopened_details=0,
            prompt_tokens=answer.prompt_tokens,
            cached_tokens=answer.requests[0].cached_tokens,
            seconds=answer.seconds,
            first_token_seconds=answer.first_token_seconds,
            kv_blocks_peak=answer.kv_blocks_peak,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        known = {field.name: data[field.name] for field in fields(cls)}
        return cls(**{**known, "forks": tuple((at, end) for at, end in data["forks"])})

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def tree(self) -> ParagraphTree:
        """The answer as it was forked."""
        return ParagraphTree.from_forks(self.text, self.forks)


def _assembled(answer: Answer) -> Assembler:
    assembler = Assembler()
    for event in answer.events:
        assembler.feed(event)
    return assembler


def _empty_details(assembler: Assembler) -> int:
    """Threads but the root that ended by themselves with no text, neither their own nor of threads in them."""
    return sum(
        record.finished is not None
        and record.finished.reason == "eos"
        and not record.forks
        and not any(delta.text for delta in record.nodes[0])
        for path, record in assembler.threads.items()
        if path != ROOT
    )
