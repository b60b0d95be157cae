"""The numbers of a question that was answered both ways, in parallel and sequentially, and of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from apar.view.labels import printable

if TYPE_CHECKING:
    from apar.engine.llm import Answer

DID_NOT_FORK = "This answer did not fork: it was decoded in one thread, so it is no faster than sequentially."


@dataclass(frozen=True, slots=True)
class AnswerPair:
    """One question, answered both ways by the same model in the same run."""

    question: str
    forked: Answer
    sequential: Answer

    @property
    def speedup(self) -> float:
        """Tokens a second, forked over sequential: the answers may differ in length, so seconds mislead."""
        return speedup([self])


def speedup(pairs: Sequence[AnswerPair]) -> float:
    """Tokens a second over all pairs, forked over sequential; 0 where there was nothing to measure."""
    forked = _rate([pair.forked for pair in pairs])
    sequential = _rate([pair.sequential for pair in pairs])
    return forked / sequential if sequential else 0.0


def _rate(answers: Sequence[Answer]) -> float:
    seconds = sum(answer.seconds for answer in answers)
    return sum(answer.tokens for answer in answers) / seconds if seconds else 0.0


def _per_step(answers: Sequence[Answer]) -> float:
    return sum(answer.tokens for answer in answers) / sum(answer.steps for answer in answers)


def numbers_table(pair: AnswerPair) -> Table:
    """One answer's numbers, a line for each way of decoding."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    for _ in range(5):
        table.add_column(justify="right", no_wrap=True)
    for name, answer in (("in parallel", pair.forked), ("sequentially", pair.sequential)):
        table.add_row(
            Text(name, "bold"),
            f"{answer.tokens} tokens",
            f"{answer.steps} steps",
            f"{answer.threads} thread" + ("s" if answer.threads != 1 else ""),
            f"{answer.tokens_per_step:.1f} tokens/step",
            f"{answer.seconds:.2f} s",
        )
    return table


def verdict(pair: AnswerPair) -> Text:
    """What one answer's numbers say."""
    if not pair.forked.forks:
        return Text(DID_NOT_FORK, "yellow")
    return Text(f"{pair.speedup:.2f} times as many tokens a second as sequentially", "green")


def summary_table(pairs: Sequence[AnswerPair]) -> Table:
    """All questions: a row for each, and one for all of them."""
    table = Table(box=box.SIMPLE_HEAD, expand=True, padding=(0, 1, 0, 0), pad_edge=False, show_footer=True)
    table.add_column("question", "all", ratio=1, no_wrap=True, overflow="ellipsis")
    forked, sequential = [pair.forked for pair in pairs], [pair.sequential for pair in pairs]
    for name, footer in (
        ("threads", ""),
        ("tokens", str(sum(answer.tokens for answer in forked))),
        ("steps", str(sum(answer.steps for answer in forked))),
        ("tokens\n/step", f"{_per_step(forked):.1f}"),
        ("seconds\nparallel", f"{sum(answer.seconds for answer in forked):.2f}"),
        ("seconds\nsequential", f"{sum(answer.seconds for answer in sequential):.2f}"),
        ("tokens/s\nratio", f"{speedup(pairs):.2f}x"),
    ):
        table.add_column(name, footer, justify="right", no_wrap=True)
    for pair in pairs:
        table.add_row(Text(printable(pair.question)), *_cells(pair), style="" if pair.forked.forks else "dim")
    return table


def _cells(pair: AnswerPair) -> list[str]:
    forked = pair.forked
    return [
        str(forked.threads),
        str(forked.tokens),
        str(forked.steps),
        f"{forked.tokens_per_step:.1f}",
        f"{forked.seconds:.2f}",
        f"{pair.sequential.seconds:.2f}",
        f"{pair.speedup:.2f}x",
    ]


def summary_sentence(pairs: Sequence[AnswerPair]) -> str:
    """The summary in one sentence, of those that forked and of all."""
    forking = [pair for pair in pairs if pair.forked.forks]
    if not forking:
        return f"None of the {len(pairs)} answers forked, so none was decoded faster than sequentially."
    per_step = _per_step([pair.forked for pair in forking])
    return (
        f"{len(forking)} of {len(pairs)} answers forked: those were decoded at {per_step:.1f} tokens per step and "
        f"{speedup(forking):.2f} times as many tokens a second as sequentially; all together "
        f"{speedup(pairs):.2f} times."
    )
