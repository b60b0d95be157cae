"""`trees.jsonl`: one answer a line, with what was asked, its paragraph tree, and the rule that found it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from apar.data.formats import COPIED_KEYS, Chat
from apar.errors import TreeError, UserError
from apar.structure.criteria import REASONS, RULES, Reason, Refusal, Rule
from apar.structure.extract import Extraction
from apar.tokens import Message
from apar.tree import ParagraphTree

Name = TypeVar("Name", Rule, Reason)


@dataclass(frozen=True, slots=True)
class TreeRecord:
    """An answer as written by `apar extract`; `extra` holds keys such as `license` and `model`.

    `refusals` are the groups of parts in it that do not fork.
    """

    id: str
    source: str
    messages: tuple[Message, ...]
    response: str
    rule: Rule
    reason: Reason | None
    tree: ParagraphTree
    extra: Mapping[str, Any]
    refusals: tuple[Refusal, ...] = ()

    @classmethod
    def of(cls, chat: Chat, found: Extraction) -> TreeRecord:
        return cls(
            chat.id,
            chat.source,
            chat.messages,
            chat.response,
            found.rule,
            found.reason,
            found.tree,
            chat.extra,
            found.refusals,
        )

    def to_json(self) -> str:
        """One line of JSON. A single question is written as `prompt`, a conversation as `messages`."""
        single = len(self.messages) == 1 and self.messages[0]["role"] == "user"
        asked = {"prompt": self.messages[0]["content"]} if single else {"messages": list(self.messages)}
        data = {
            "id": self.id,
            "source": self.source,
            **self.extra,
            **asked,
            "response": self.response,
            "rule": self.rule,
            "reason": self.reason,
            "forks": self.tree.forks(),
        }
        if self.refusals:
            data["refusals"] = self.refusals
        return json.dumps(data, ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> TreeRecord:
        """The inverse of `to_json`; raises ValueError, KeyError, TypeError or TreeError on another form."""
        data = json.loads(line)
        if "forks" not in data and "tree" in data:
            raise ValueError("an older version wrote it; run `apar extract` again")
        messages = data["messages"] if "messages" in data else [{"role": "user", "content": data["prompt"]}]
        tree = ParagraphTree.from_forks(data["response"], data["forks"])
        return cls(
            id=str(data["id"]),
            source=str(data["source"]),
            messages=tuple({"role": str(m["role"]), "content": str(m["content"])} for m in messages),
            response=data["response"],
            rule=_known(data["rule"], RULES),
            reason=None if data["reason"] is None else _known(data["reason"], REASONS),
            tree=tree,
            extra={key: data[key] for key in COPIED_KEYS if key in data},
            refusals=tuple(
                Refusal(int(start), int(end), _known(reason, REASONS))
                for start, end, reason in data.get("refusals", ())
            ),
        )


def _known(name: str, names: tuple[Name, ...]) -> Name:
    for known in names:
        if known == name:
            return known
    raise ValueError(f"{name!r} is neither {', '.join(map(str, names))}"[:160])


def read_trees(path: Path) -> Iterator[TreeRecord]:
    """The records of a `trees.jsonl`; raises UserError naming the first line that is none."""
    for number, line in _lines(path):
        yield _record(path, number, line)


def read_tree(path: Path, index: int) -> TreeRecord:
    """The record number `index`, counted from 0; raises UserError where there are not so many."""
    count = 0
    for number, line in _lines(path):
        if count == index:
            return _record(path, number, line)
        count += 1
    held = f"{count} trees, numbered 0 to {count - 1}" if count else "no trees"
    raise UserError(f"there is no tree {index} in {path}: it has {held}")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that hold something, numbered from 1; they end at "\\n" alone."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line.decode("utf-8")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a file of trees: it is not UTF-8 text") from error


def _record(path: Path, number: int, line: str) -> TreeRecord:
    try:
        return TreeRecord.from_json(line)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, TreeError) as error:
        problem = " ".join(str(error).split())[:160]
        raise UserError(f"{path}, line {number} is not a tree written by `apar extract`: {problem}") from error
