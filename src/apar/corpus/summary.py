"""What one answer adds to the statistics of a data set: computed where the answer is, summed elsewhere."""

from __future__ import annotations

from typing import NamedTuple

from apar.corpus.split import Kind, kind_of
from apar.data.records import TreeRecord
from apar.data.token_counter import TokenCounter
from apar.stats import tree_stats
from apar.structure.labels import Reason, Rule


class Summary(NamedTuple):
    """Labels and figures of one answer; lengths are in tokens, `kv_*` in tokens x steps."""

    source: str
    model: str | None
    language: str | None
    licence: str | None
    format: str
    rule: Rule
    reason: Reason | None
    kind: Kind
    refusals: tuple[Reason, ...]
    characters: int
    tokens: int
    depth: int
    critical_path: int
    sequential_steps: int
    attended_forked: int
    attended_sequential: int
    kv_forked: int
    kv_sequential: int
    peak_threads: int
    details: tuple[int, ...]
    """The length of each detail, those within it included."""

    @property
    def speedup(self) -> float:
        """The ideal speed-up: tokens per step of the critical path."""
        return self.tokens / self.critical_path


def summarize(record: TreeRecord, counter: TokenCounter, format: str) -> Summary:
    """The summary of a record that was read from a file of `format`."""
    stats = tree_stats(record.tree, counter.count)
    labels = {key: str(record.extra[key]) for key in record.extra}
    return Summary(
        source=record.source,
        model=labels.get("model"),
        language=labels.get("lang"),
        licence=labels.get("license") or labels.get("licence"),
        format=format,
        rule=record.rule,
        reason=record.reason,
        kind=kind_of(record.reason, len(record.response)),
        refusals=tuple(refusal.reason for refusal in record.refusals),
        characters=len(record.response),
        tokens=stats.tokens,
        depth=stats.depth,
        critical_path=stats.critical_path,
        sequential_steps=stats.sequential_steps,
        attended_forked=stats.attended_forked,
        attended_sequential=stats.attended_sequential,
        kv_forked=stats.kv_forked.sum,
        kv_sequential=stats.kv_sequential.sum,
        peak_threads=stats.peak_threads,
        details=stats.detail_tokens,
    )
