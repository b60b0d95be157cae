"""Choosing and ordering what a model is trained on: filters, a split by prompt, structured against unstructured."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from apar.data.records import TreeRecord, read_trees
from apar.errors import UserError
from apar.tokens import Message
from apar.tree import ParagraphTree


@dataclass(frozen=True, slots=True)
class Example:
    """A chat up to the answer, and the answer as a paragraph tree."""

    messages: tuple[Message, ...]
    tree: ParagraphTree
    rule: str

    @property
    def structured(self) -> bool:
        return self.tree.root.forks


class Filters(Protocol):
    """What `select` asks of a mix; the training recipe's `mix` section is one."""

    @property
    def max_answers_per_prompt(self) -> int | None: ...
    @property
    def min_response_chars(self) -> int: ...
    @property
    def max_response_chars(self) -> int | None: ...
    @property
    def languages(self) -> tuple[str, ...]: ...
    @property
    def fork_rules(self) -> tuple[str, ...]: ...
    @property
    def skip_reasons(self) -> tuple[str, ...]: ...
    @property
    def skip_sources(self) -> tuple[str, ...]: ...
    @property
    def held_out(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Selection:
    """The examples to train on, those held out, and how many records were left out for which reason."""

    train: list[Example]
    held_out: list[Example]
    left_out: Counter[str]


def read_all(paths: Sequence[Path]) -> Iterator[TreeRecord]:
    """The records of files written by `apar extract`; the patterns `*` and `?` are expanded."""
    for path in paths:
        for file in _expand(path):
            yield from read_trees(file)


def _expand(path: Path) -> list[Path]:
    if "*" not in str(path) and "?" not in str(path):
        if not path.is_file():
            raise UserError(f"{path} does not exist; make it with `apar extract FILE... -o {path.parent}`")
        return [path]
    pattern = path.relative_to(path.anchor)
    found = sorted(Path(path.anchor or ".").glob(str(pattern)))
    if not found:
        raise UserError(f"no file matches {path}; make them with `apar extract FILE... -o DIR`")
    return found


def select(records: Iterable[TreeRecord], filters: Filters) -> Selection:
    """Filter the records and split them by prompt."""
    selection = Selection([], [], Counter())
    seen: set[tuple[str, str]] = set()
    answers: Counter[str] = Counter()
    for record in records:
        prompt = "\n".join(message["content"] for message in record.messages)
        reason = _reason_to_skip(record, filters)
        if reason is None and (prompt, record.response) in seen:
            reason = "duplicate"
        if reason is None and filters.max_answers_per_prompt and answers[prompt] >= filters.max_answers_per_prompt:
            reason = "answers of this prompt"
        if reason is not None:
            selection.left_out[reason] += 1
            continue
        seen.add((prompt, record.response))
        answers[prompt] += 1
        part = selection.held_out if is_held_out(prompt, filters.held_out) else selection.train
        part.append(_example(record, filters))
    return selection


def _reason_to_skip(record: TreeRecord, filters: Filters) -> str | None:
    length = len(record.response)
    if length < filters.min_response_chars:
        return "too short"
    if filters.max_response_chars and length > filters.max_response_chars:
        return "too long"
    if filters.languages and record.extra.get("lang") not in filters.languages:
        return "language"
    if record.reason in filters.skip_reasons:
        return f"reason {record.reason}"
    if record.source in filters.skip_sources:
        return "source"
    return None


def _example(record: TreeRecord, filters: Filters) -> Example:
    """The record as it is trained on: a tree that no wanted rule found is plain text."""
    forks = not filters.fork_rules or record.rule in filters.fork_rules
    tree = record.tree if forks else ParagraphTree.leaf(record.response)
    return Example(record.messages, tree, record.rule)


def is_held_out(prompt: str, share: float) -> bool:
    """Whether a prompt belongs to the held-out part: decided by the prompt alone, so every run agrees."""
    digest = hashlib.blake2b(prompt.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64


def endless(examples: Sequence[Example], structured: float | None, seed: int) -> Iterator[Example]:
    """The examples for ever, reshuffled each round; `structured` is the share of forking answers, None: as they are."""
    chooser = random.Random(seed)
    if structured is None:
        yield from _rounds(examples, seed)
    forking = [example for example in examples if example.structured]
    plain = [example for example in examples if not example.structured]
    if (not forking and structured) or (not plain and structured != 1):
        raise UserError(
            f"the mix asks for a share of {structured} structured answers, but of the {len(examples)} chosen "
            f"{len(forking)} are structured; set mix.structured to null or choose other trees"
        )
    pools = {True: _rounds(forking, seed + 1), False: _rounds(plain, seed + 2)}
    while True:
        yield next(pools[chooser.random() < structured])  # type: ignore[operator]


def _rounds(examples: Sequence[Example], seed: int) -> Iterator[Example]:
    shuffler = random.Random(seed)
    while examples:
        yield from shuffler.sample(examples, len(examples))
