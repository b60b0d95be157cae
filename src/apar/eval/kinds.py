"""Of which kind a prompt is: by real answers to it, or by the category that a benchmark gives it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal, get_args

from apar.data.records import TreeRecord
from apar.structure.labels import Reason
from apar.structure.sentences import first_sentence_end

Kind = Literal["list", "code", "mathematics", "short", "other"]
"""`list`: the reference answer forks; `short`: it is one sentence."""
KINDS: tuple[Kind, ...] = get_args(Kind)

MAX_SHORT_CHARS = 200

_BY_REASON: dict[Reason, Kind] = {
    "code": "code",
    "code_continued": "code",
    "formula": "mathematics",
    "derivation": "mathematics",
}
_BY_CATEGORY: dict[str, Kind] = {"coding": "code", "code": "code", "math": "mathematics", "mathematics": "mathematics"}


def kind_of_answers(records: Sequence[TreeRecord]) -> Kind:
    """The kind of the most of at least one reference answer to a prompt; of equally many, the first of `KINDS`."""
    counts = Counter(_kind(record) for record in records)
    return max(KINDS, key=lambda kind: counts[kind])


def kind_of_question(category: str | None, references: Sequence[TreeRecord]) -> Kind:
    """The kind of a benchmark's question: code and mathematics by its category, else by the references, if any."""
    known = _BY_CATEGORY.get((category or "").lower())
    if known is not None:
        return known
    return kind_of_answers(references) if references else "other"


def _kind(record: TreeRecord) -> Kind:
    if record.tree.root.forks:
        return "list"
    if record.reason in _BY_REASON:
        return _BY_REASON[record.reason]
    return "short" if _is_one_sentence(record.response.strip()) else "other"


def _is_one_sentence(text: str) -> bool:
    return len(text) <= MAX_SHORT_CHARS and "\n" not in text and first_sentence_end(text) is None
