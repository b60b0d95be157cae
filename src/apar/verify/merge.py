"""Taking forks back where details were found to need the details before them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from apar.data.records import TreeRecord
from apar.structure.labels import Refusal
from apar.tree import ParagraphTree
from apar.verify.details import Detail, details


def merge_back(record: TreeRecord, increases: Sequence[float], threshold: float, min_parts: int = 2) -> TreeRecord:
    """The record without the forks of dependent details; the record itself where there are none.

    `increases` has a number for each fork in reading order, as `DetailLosses.least_increases` gives them: the
    detail is dependent if it is above `threshold` (NaN never is). A thread cannot wait for another, so a
    dependent detail only gets what it needs if that stands on its path: it is merged back together with all
    details of its thread before it and what forks in them. Where fewer than `min_parts` details would be left
    in the thread, they are merged too. Forks inside a merged detail that nothing needs stay, and belong to the
    thread it was merged into.

    Every merged stretch becomes a refusal, from its first fork to the end of its last detail; an answer
    without forks left is unstructured. Raises ValueError where the numbers are not as many as the forks.
    """
    found = details(record.tree)
    threads: defaultdict[int, list[int]] = defaultdict(list)
    last: dict[int, int] = {}
    for index, (detail, increase) in enumerate(zip(found, increases, strict=True)):
        threads[detail.parent].append(index)
        # Nothing is hidden from the first detail of a thread: what it may lose, it does not lose to a fork.
        if detail.number and increase > threshold:
            last[detail.parent] = index
    if not last:
        return record
    merged: set[int] = set()
    stretches: list[Refusal] = []
    for thread, dependent in last.items():
        siblings = threads[thread]
        left = [index for index in siblings if index > dependent]
        until = siblings[-1] if len(left) < min_parts else dependent
        merged.update(range(siblings[0], dependent + 1))
        merged.update(index for index in siblings if index <= until)
        stretches.append(Refusal(found[siblings[0]].at, found[until].end, "dependent"))
    kept = [detail for index, detail in enumerate(found) if index not in merged]
    return _rebuilt(record, kept, stretches)


def _rebuilt(record: TreeRecord, kept: Sequence[Detail], stretches: Sequence[Refusal]) -> TreeRecord:
    tree = ParagraphTree.from_forks(record.response, [(detail.at, detail.end) for detail in kept])
    refusals = tuple(sorted((*record.refusals, *_outermost(stretches))))
    if kept:
        return replace(record, tree=tree, refusals=refusals)
    return replace(record, tree=tree, refusals=refusals, rule="unstructured", reason="dependent")


def _outermost(stretches: Sequence[Refusal]) -> list[Refusal]:
    """Without those that lie inside another."""
    found: list[Refusal] = []
    for stretch in sorted(stretches, key=lambda one: (one.start, -one.end)):
        if not found or stretch.start >= found[-1].end:
            found.append(stretch)
    return found
