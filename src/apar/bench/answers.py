"""The answers that a benchmark replays: trees with categories, and a tokenizer to count and encode them by."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from apar.data.raw import BrokenRecord
from apar.data.read import read_records
from apar.data.records import TreeRecord, read_trees
from apar.errors import UserError
from apar.tokens import Message
from apar.tree import ParagraphTree

T = TypeVar("T")

ALL = "all"
"""The category of all answers together."""


@dataclass(frozen=True, slots=True)
class BenchAnswer:
    """An answer to replay, and the messages that it answers."""

    id: str
    category: str
    messages: tuple[Message, ...]
    tree: ParagraphTree


def read_answers(
    path: Path, questions: Path | None = None, only: Mapping[str, Sequence[str]] | None = None, count: int | None = None
) -> list[BenchAnswer]:
    """The answers of a file of trees that have text, in its order.

    An answer's category is that of its question in the file `questions`, else its own, else its rule. `only`
    keeps records with one of the values for each key (`model`, `category`, …). `count` takes a sample that is
    even over the categories, the same every time. Raises UserError where no answer is left.
    """
    categories = read_categories(questions) if questions else {}
    records = ((record, _category(record, categories)) for record in read_trees(path) if record.response)
    answers = [
        BenchAnswer(record.id, category, record.messages, record.tree)
        for record, category in records
        if _wanted(record, category, only or {})
    ]
    if not answers:
        kept = " that --only lets pass" if only else ""
        raise UserError(f"{path} has no answer with text{kept}; write trees with `apar extract`")
    return even_sample(answers, count, lambda answer: answer.category)


def read_categories(path: Path) -> dict[str, str]:
    """The category of each question of a file of JSON lines; a question is `text`, `prompt` or `turns[0]`."""
    found: dict[str, str] = {}
    for record in read_records(path):
        if isinstance(record, BrokenRecord):
            raise UserError(f"{record.location}: {record.problem}")
        data = record.data
        question = data.get("text") or data.get("prompt") or next(iter(data.get("turns") or ()), None)
        if not isinstance(question, str) or not isinstance(data.get("category"), str):
            raise UserError(f"{record.location}: a question needs `text`, `prompt` or `turns`, and `category`")
        found[question] = data["category"]
    return found


def even_sample(items: Sequence[T], count: int | None, category: Callable[[T], str]) -> list[T]:
    """At most `count` items, in turn from every category, in their order; None: all."""
    if count is None:
        return list(items)
    by_category: dict[str, list[int]] = defaultdict(list)
    for number, item in enumerate(items):
        by_category[category(item)].append(number)
    for numbers in by_category.values():
        random.Random(0).shuffle(numbers)
    # The first of every category, then the second of every category, and so on.
    ranked = sorted((rank, number) for numbers in by_category.values() for rank, number in enumerate(numbers))
    return [items[number] for number in sorted(number for _, number in ranked[:count])]


def parse_only(options: Iterable[str]) -> dict[str, list[str]]:
    """`KEY=VALUE[,VALUE…]` options; raises UserError for another form."""
    found: dict[str, list[str]] = {}
    for option in options:
        key, sign, values = option.partition("=")
        if not sign or not key or not values:
            raise UserError(f"--only {option!r} is not KEY=VALUE")
        found.setdefault(key, []).extend(values.split(","))
    return found


def _category(record: TreeRecord, categories: Mapping[str, str]) -> str:
    question = record.messages[-1]["content"] if record.messages else ""
    return str(categories.get(question) or record.extra.get("category") or record.rule)


def _wanted(record: TreeRecord, category: str, only: Mapping[str, Sequence[str]]) -> bool:
    data = {"id": record.id, "source": record.source, "rule": record.rule, **record.extra, "category": category}
    return all(str(data.get(key)) in values for key, values in only.items())
