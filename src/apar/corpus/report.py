"""`report.json`: what came of the answers, and what forking them could save."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import Any

from apar.data.counters import TokenCounter
from apar.data.lines import BrokenRecord
from apar.data.records import TreeRecord
from apar.stats import TreeStats, tree_stats
from apar.structure.criteria import REASONS, RULES

# More broken records than these are counted, but their places are not listed.
_LISTED_RECORDS = 1000


@dataclass(slots=True)
class Figures:
    """Sums over a set of answers, in tokens and steps."""

    answers: int = 0
    structured: int = 0
    tokens: int = 0
    threads: int = 0
    critical_path: int = 0
    speedups: list[float] = field(default_factory=list)

    def add(self, stats: TreeStats) -> None:
        self.answers += 1
        self.structured += stats.forks > 0
        self.tokens += stats.tokens
        self.threads += stats.threads
        self.critical_path += stats.critical_path
        self.speedups.append(stats.speedup)

    def to_dict(self) -> dict[str, Any]:
        """The figures; a speed-up is None where there are no answers.

        The ideal speed-up is tokens / critical path: of the sums (`corpus`), and over the answers.
        """
        corpus = self.tokens / self.critical_path if self.critical_path else None
        mean, middle = (fmean(self.speedups), median(self.speedups)) if self.speedups else (None, None)
        return {
            "answers": self.answers,
            "structured": self.structured,
            "tokens": self.tokens,
            "threads": self.threads,
            "critical_path": self.critical_path,
            "ideal_speedup": {"corpus": _rounded(corpus), "mean": _rounded(mean), "median": _rounded(middle)},
        }


@dataclass(slots=True)
class FileCounts:
    """What one file held; `format` is None until its first chat is read."""

    path: Path
    format: str | None = None
    answers: int = 0
    empty: int = 0
    broken: int = 0


class Report:
    """Collects the counts and figures of an extraction."""

    def __init__(self, counter: TokenCounter) -> None:
        self._counter = counter
        self._rules: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._broken: list[BrokenRecord] = []
        self._all = Figures()
        self._structured = Figures()
        self._groups: dict[str, defaultdict[str, Figures]] = {
            "by_source": defaultdict(Figures),
            "by_model": defaultdict(Figures),
        }
        self.files: list[FileCounts] = []

    def open_file(self, path: Path) -> FileCounts:
        """Begin the counts of a file."""
        self.files.append(FileCounts(path))
        return self.files[-1]

    @property
    def num_answers(self) -> int:
        """Answers that have a tree."""
        return self._all.answers

    def add_broken(self, record: BrokenRecord, counts: FileCounts) -> None:
        counts.broken += 1
        if len(self._broken) < _LISTED_RECORDS:
            self._broken.append(record)

    def add_empty(self, counts: FileCounts) -> None:
        """Count an answer without text, which has no tree."""
        counts.empty += 1
        self._reasons["empty"] += 1

    def add(self, record: TreeRecord, counts: FileCounts) -> None:
        """Count an answer and the figures of its tree."""
        counts.answers += 1
        self._rules[record.rule] += 1
        if record.reason is not None:
            self._reasons[record.reason] += 1
        stats = tree_stats(record.tree, self._counter.count)
        for figures in self._figures_of(record, stats):
            figures.add(stats)

    def _figures_of(self, record: TreeRecord, stats: TreeStats) -> Iterable[Figures]:
        yield self._all
        if stats.forks:
            yield self._structured
        yield self._groups["by_source"][record.source]
        if "model" in record.extra:
            yield self._groups["by_model"][str(record.extra["model"])]

    def to_dict(self) -> dict[str, Any]:
        """The report as `report.json` has it."""
        return {
            "files": [
                {
                    "file": str(counts.path),
                    "format": counts.format,
                    "answers": counts.answers,
                    "empty": counts.empty,
                    "broken": counts.broken,
                }
                for counts in self.files
            ],
            "token_counter": self._counter.name,
            "answers": self._all.answers,
            "empty": self._reasons["empty"],
            "by_format": self._by_format(),
            "by_rule": {rule: self._rules[rule] for rule in RULES},
            "by_reason": {reason: self._reasons[reason] for reason in REASONS if self._reasons[reason]},
            "broken": {
                "count": sum(counts.broken for counts in self.files),
                "records": [
                    {
                        "file": str(record.place.file),
                        "line": record.place.line,
                        "problem": record.problem,
                    }
                    for record in self._broken
                ],
            },
            "all": self._all.to_dict(),
            "structured": self._structured.to_dict(),
            **{name: _sorted(groups) for name, groups in self._groups.items()},
        }

    def _by_format(self) -> dict[str, int]:
        formats: Counter[str] = Counter()
        for counts in self.files:
            formats[counts.format or "unknown"] += counts.answers
        return dict(formats)


def _sorted(groups: dict[str, Figures]) -> dict[str, dict[str, Any]]:
    """The largest group first."""
    order = sorted(groups, key=lambda name: (-groups[name].answers, name))
    return {name: groups[name].to_dict() for name in order}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
