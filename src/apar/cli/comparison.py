"""The numbers of a question's answer: in parallel, the same with one thread at a time, and the untaught base's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from apar.sizes import counted
from apar.view.labels import printable

if TYPE_CHECKING:
    from apar.engine.llm import Answer

DID_NOT_FORK = "This answer did not fork: there is one thread, and nothing to decode beside it."
DIFFERS = "One thread at a time the text came out differently: two tokens were as close as rounding."


@dataclass(frozen=True, slots=True)
class Comparison:
    """One question, answered by the same model in the same run with all threads at the same time and with one thread
    at a time, and by the base that it was trained from, where there is one.
    """

    question: str
    parallel: Answer
    sequential: Answer
    base: Answer | None = None

    @property
    def speedup(self) -> float:
        """Seconds for the answer, one thread at a time over in parallel."""
        return speedup([self])


def speedup(comparisons: Sequence[Comparison]) -> float:
    """Seconds for all answers, one thread at a time over in parallel; 0 where there was nothing to measure."""
    parallel = _seconds([each.parallel for each in comparisons])
    return _seconds([each.sequential for each in comparisons]) / parallel if parallel else 0.0


def passes(answer: Answer) -> int:
    """How many times the model was run for an answer: its steps, where the engine does not say."""
    return answer.forward_passes or answer.steps


def _drafts(answers: Sequence[Answer]) -> tuple[int, int]:
    """How many draft tokens were verified for answers, and how many of them were right."""
    return sum(sum(answer.drafted) for answer in answers), sum(sum(answer.accepted) for answer in answers)


def _seconds(answers: Sequence[Answer]) -> float:
    return sum(answer.seconds for answer in answers)


def _tokens(answers: Sequence[Answer]) -> int:
    return sum(answer.tokens for answer in answers)


def _per_pass(answers: Sequence[Answer]) -> float:
    count = sum(map(passes, answers))
    return _tokens(answers) / count if count else 0.0


def _share(drafted: int, accepted: int) -> str:
    return f"{100 * accepted / drafted:.0f} %" if drafted else "–"


def _bases(comparisons: Sequence[Comparison]) -> list[Answer]:
    """The base's answers, to all questions or to none."""
    return [each.base for each in comparisons if each.base is not None]


def numbers_table(comparison: Comparison) -> Table:
    """One question's numbers, a line for each answer."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    for _ in range(4):
        table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)  # of what came of drafts, for those that had some
    ways = [("in parallel", comparison.parallel), ("one thread at a time", comparison.sequential)]
    if comparison.base is not None:
        ways.append(("untaught base", comparison.base))
    for name, answer in ways:
        table.add_row(
            Text(name, "bold"),
            f"{answer.seconds:.2f} s",
            counted(answer.tokens, "token"),
            counted(passes(answer), "pass", "passes"),
            counted(answer.threads, "thread"),
            _drafts_told(answer),
        )
    return table


def _drafts_told(answer: Answer) -> str:
    drafted, accepted = _drafts([answer])
    return f"{accepted}/{drafted} drafts" if drafted else ""


def verdict(comparison: Comparison) -> Text:
    """What one question's numbers say."""
    parallel = comparison.parallel
    if parallel.text != comparison.sequential.text:
        return Text(DIFFERS, "yellow")
    if not parallel.forks:
        return Text(DID_NOT_FORK, "yellow")
    told = f"{comparison.speedup:.2f} times as fast as the same answer with one thread at a time"
    return Text(f"{told}, {_per_pass([parallel]):.1f} tokens per pass", "green" if comparison.speedup > 1 else "yellow")


def summary_table(comparisons: Sequence[Comparison]) -> Table:
    """All questions: a row for each, and one for all of them."""
    table = Table(box=box.SIMPLE_HEAD, expand=True, padding=(0, 1, 0, 0), pad_edge=False, show_footer=True)
    table.add_column("question", "all", ratio=1, no_wrap=True, overflow="ellipsis")
    bases = _bases(comparisons)
    drafted, _ = _drafts([each.parallel for each in comparisons])
    columns = _COLUMNS + (_DRAFT_COLUMNS if drafted else ()) + (_BASE_COLUMNS if bases else ())
    for name, value in columns:
        table.add_column(name, value(comparisons), justify="right", no_wrap=True)
    for each in comparisons:
        cells = [value([each]) for _, value in columns]
        table.add_row(Text(printable(each.question)), *cells, style="" if each.parallel.forks else "dim")
    return table


_Value = Callable[[Sequence[Comparison]], str]

_COLUMNS: tuple[tuple[str, _Value], ...] = (
    ("times\nas fast", lambda all_: f"{speedup(all_):.2f}x"),
    ("s in\nparallel", lambda all_: f"{_seconds([each.parallel for each in all_]):.2f}"),
    ("s one\nthread", lambda all_: f"{_seconds([each.sequential for each in all_]):.2f}"),
    ("tokens", lambda all_: str(_tokens([each.parallel for each in all_]))),
    ("tokens\n/pass", lambda all_: f"{_per_pass([each.parallel for each in all_]):.1f}"),
    ("threads", lambda all_: str(sum(each.parallel.threads for each in all_))),
)
_DRAFT_COLUMNS: tuple[tuple[str, _Value], ...] = (
    ("drafts\nright", lambda all_: _share(*_drafts([each.parallel for each in all_]))),
)
_BASE_COLUMNS: tuple[tuple[str, _Value], ...] = (
    ("s of\nbase", lambda all_: f"{_seconds(_bases(all_)):.2f}"),
    ("tokens\nof base", lambda all_: str(_tokens(_bases(all_)))),
)
"""The name of a column, and what stands there for one question or for all of them."""


def summary_sentence(comparisons: Sequence[Comparison]) -> str:
    """The summary in some sentences: of the answers that forked, of all, and of the base's."""
    forking = [each for each in comparisons if each.parallel.forks]
    count = len(comparisons)
    if not forking:
        told = f"None of the {count} answers forked, so none came faster than with one thread at a time."
    else:
        told = (
            f"{len(forking)} of {count} answers forked: those came {speedup(forking):.2f} times as fast as the same "
            f"answers with one thread at a time, at {_per_pass([each.parallel for each in forking]):.1f} tokens per "
            f"pass; all together {speedup(comparisons):.2f} times as fast."
        )
    return " ".join([told, *_base_sentence(comparisons)])


def _base_sentence(comparisons: Sequence[Comparison]) -> list[str]:
    bases, parallel = _bases(comparisons), [each.parallel for each in comparisons]
    if not bases:
        return []
    return [
        f"On average the taught model took {_seconds(parallel) / len(parallel):.2f} s for an answer of "
        f"{_tokens(parallel) / len(parallel):.0f} tokens, the untaught base {_seconds(bases) / len(bases):.2f} s for "
        f"one of its own, of {_tokens(bases) / len(bases):.0f}."
    ]
