"""`report.json`: what came of the answers, and what forking them could save.

Everything is sums, so that a report of any number of answers takes the same memory. docs/report.md says what
each key means.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import Any

from apar.corpus.split import KINDS
from apar.corpus.totals import COUNT_EDGES, LENGTH_EDGES, Histogram, Summary, Totals
from apar.data.raw import BrokenRecord
from apar.structure.labels import REASONS, RULES

# More broken records than these are counted, but their places are not listed.
_LISTED_RECORDS = 1000
# More groups than these (models, say) are summed together.
_MOST_GROUPS = 500
OTHERS = "others"


class Report:
    """Collects the counts and totals of an extraction."""

    def __init__(self, counter: str) -> None:
        """`counter` says by what tokens are counted."""
        self._counter = counter
        self._sources: list[str] = []
        self._counts: dict[str, Counter[str]] = defaultdict(Counter)
        self._dropped: dict[str, Counter[str]] = defaultdict(Counter)
        self._broken: list[BrokenRecord] = []
        self._all = Totals()
        self._structured = Totals()
        self._groups: dict[str, dict[str, Totals]] = defaultdict(dict)
        self._details_per_answer = Histogram(COUNT_EDGES)
        self._detail_lengths = Histogram(LENGTH_EDGES)

    def open_file(self, path: Path) -> None:
        """Note a file or data set that is read."""
        self._sources.append(str(path))

    def add_broken(self, record: BrokenRecord) -> None:
        """Count a record that could not be used."""
        _count(self._counts["broken"], str(record.location.file))
        if len(self._broken) < _LISTED_RECORDS:
            self._broken.append(record)

    def add_dropped(self, drop: str, source: str) -> None:
        """Count an answer that was left out: by a filter, as a duplicate, or for the mix."""
        _count(self._dropped[drop], source)

    def add(self, summary: Summary, held_out: bool = False) -> None:
        """Count an answer and the figures of its tree."""
        self._count(summary, held_out)
        self._all.add(summary)
        if summary.reason is None:
            self._structured.add(summary)
            self._details_per_answer.add(len(summary.details))
            for length in summary.details:
                self._detail_lengths.add(length)
        labels = {"source": summary.source, "model": summary.model, "language": summary.language, "rule": summary.rule}
        for name, label in labels.items():
            if label is not None:
                self._group(name, label).add(summary)

    def _count(self, summary: Summary, held_out: bool) -> None:
        counts = self._counts
        counts["rule"][summary.rule] += 1
        counts["reason"].update([summary.reason] if summary.reason is not None else [])
        counts["refusal"].update(summary.refusals)
        counts["kind"][summary.kind] += 1
        counts["format"][summary.format] += 1
        _count(counts["licence"], summary.licence or "not stated")
        counts["depth"][str(summary.depth)] += 1
        counts["held_out"]["held out" if held_out else "train"] += 1

    def _group(self, name: str, label: str) -> Totals:
        groups = self._groups[name]
        return groups.setdefault(_bounded(groups, label), Totals())

    def to_dict(self) -> dict[str, Any]:
        """The report as `report.json` has it."""
        counts = self._counts
        return {
            "sources": self._sources,
            "token_counter": self._counter,
            "answers": self._all.answers,
            "held_out": counts["held_out"]["held out"],
            "by_rule": {rule: counts["rule"][rule] for rule in RULES},
            "by_reason": {reason: counts["reason"][reason] for reason in REASONS if counts["reason"][reason]},
            "by_kind": {kind: counts["kind"][kind] for kind in KINDS if counts["kind"][kind]},
            "by_format": dict(counts["format"]),
            "by_licence": dict(counts["licence"].most_common()),
            "refused_groups": {name: counts["refusal"][name] for name in REASONS if counts["refusal"][name]},
            "dropped": {
                "count": sum(sum(by_source.values()) for by_source in self._dropped.values()),
                "by_reason": {name: sum(by_source.values()) for name, by_source in sorted(self._dropped.items())},
                "by_source": {name: dict(by_source.most_common()) for name, by_source in sorted(self._dropped.items())},
            },
            "broken": {
                "count": sum(counts["broken"].values()),
                "by_file": dict(counts["broken"]),
                "records": [
                    {"file": str(record.location.file), "line": record.location.line, "problem": record.problem}
                    for record in self._broken
                ],
            },
            "all": self._all.to_dict(),
            "structured": self._structured.to_dict(),
            "speedup_histogram": {
                "all": self._all.speedups.to_dict()["histogram"],
                "structured": self._structured.speedups.to_dict()["histogram"],
            },
            "details_per_answer": self._details_per_answer.to_dict(),
            "detail_tokens": self._detail_lengths.to_dict(),
            "depth": {depth: counts["depth"][depth] for depth in sorted(counts["depth"], key=int)},
            **{f"by_{name}_figures": _sorted(self._groups[name]) for name in ("source", "model", "language", "rule")},
        }


def _count(counts: Counter[str], label: str) -> None:
    counts[_bounded(counts, label)] += 1


def _bounded(groups: Collection[str], label: str) -> str:
    """The label, or that of the others where there are too many groups for a new group."""
    return label if label in groups or len(groups) < _MOST_GROUPS else OTHERS


def _sorted(groups: dict[str, Totals]) -> dict[str, dict[str, Any]]:
    """The largest group first."""
    order = sorted(groups, key=lambda name: (-groups[name].answers, name))
    return {name: groups[name].to_dict() for name in order}
