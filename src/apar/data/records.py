"""`trees.jsonl`: one answer a line, with what was asked, its paragraph tree, and the rule that found it.

Training and evaluation read such files whole (`read_examples`): what is left out, and what is held out, was decided
by `apar extract`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from apar.data.formats import ANSWER_KEYS, Chat
from apar.data.raw import BrokenRecord, Raw, decoded
from apar.data.read import read_raw
from apar.errors import TreeError, UserError
from apar.structure.extract import Extraction
from apar.structure.labels import REASONS, RULES, Reason, Refusal, Rule
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
        said = (chat.id, chat.source, chat.messages, chat.response)
        return cls(*said, found.rule, found.reason, found.tree, chat.extra, found.refusals)

    def with_extra(self, **more: Any) -> TreeRecord:
        """The same record with more extra keys."""
        return replace(self, extra={**self.extra, **more})

    def to_json(self) -> str:
        """One line of JSON. A single question is written as `prompt`, a conversation as `messages`."""
        data = self.to_dict()
        if len(self.messages) == 1 and self.messages[0]["role"] == "user":
            data = {("prompt" if key == "messages" else key): value for key, value in data.items()}
            data["prompt"] = self.messages[0]["content"]
        if not self.refusals:
            del data["refusals"]
        return json.dumps(data, ensure_ascii=False)

    def to_dict(self) -> dict[str, Any]:
        """The record by keys, as JSON and Parquet hold it."""
        return {
            "id": self.id,
            "source": self.source,
            **self.extra,
            "messages": list(self.messages),
            "response": self.response,
            "rule": self.rule,
            "reason": self.reason,
            "forks": [list(fork) for fork in self.tree.forks()],
            "refusals": [refusal._asdict() for refusal in self.refusals],
        }

    @classmethod
    def from_json(cls, line: str) -> TreeRecord:
        """The inverse of `to_json`; raises as `from_dict` does."""
        return cls.from_dict(json.loads(line))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TreeRecord:
        """The inverse of `to_dict`; raises ValueError, KeyError, TypeError or TreeError on another form."""
        if "forks" not in data and "tree" in data:
            raise ValueError("an older version wrote it; run `apar extract` again")
        messages = data["messages"] if "messages" in data else [{"role": "user", "content": data["prompt"]}]
        return cls(
            id=str(data["id"]),
            source=str(data["source"]),
            messages=tuple({"role": str(m["role"]), "content": str(m["content"])} for m in messages),
            response=data["response"],
            rule=_known(data["rule"], RULES),
            reason=None if data.get("reason") is None else _known(data["reason"], REASONS),
            tree=ParagraphTree.from_forks(data["response"], data["forks"]),
            extra={key: data[key] for key in ANSWER_KEYS if data.get(key) is not None},
            refusals=tuple(
                Refusal(int(item["start"]), int(item["end"]), _known(item["reason"], REASONS))
                for item in data.get("refusals") or ()
            ),
        )


def _known(name: str, names: tuple[Name, ...]) -> Name:
    for known in names:
        if known == name:
            return known
    raise ValueError(f"{name!r} is neither {', '.join(map(str, names))}"[:160])


def read_trees(path: Path) -> Iterator[TreeRecord]:
    """The records of a file that `apar extract` wrote, or of its folder's `trees`, without what is held out.

    Raises UserError naming the first line that is none.
    """
    path = _file(path)
    for raw in _raws(path):
        yield _record(path, raw)


def read_tree(path: Path, index: int) -> TreeRecord:
    """The record number `index`, counted from 0; raises UserError where there are not so many."""
    path, count = _file(path), 0
    for raw in _raws(path):
        if count == index:
            return _record(path, raw)
        count += 1
    held = f"{count} trees, numbered 0 to {count - 1}" if count else "no trees"
    raise UserError(f"there is no tree {index} in {path}: it has {held}")


def _file(path: Path) -> Path:
    """The file of trees that a path names: itself, or the one in the folder."""
    if not path.is_dir():
        return path
    found = sorted(file for file in path.glob("trees.*") if file.is_file())
    if len(found) == 1:
        return found[0]
    held = f"has {', '.join(file.name for file in found)}: name one" if found else "has no trees; make them"
    raise UserError(f"the folder {path} {held}" + ("" if found else f" with `apar extract FILE... -o {path}`"))


def _raws(path: Path) -> Iterator[Raw]:
    container, raws = read_raw(path)
    if container not in ("jsonl", "parquet"):
        raise UserError(f"{path} is not a file of trees: it is neither JSON lines nor Parquet")
    return raws


def _record(path: Path, raw: Raw) -> TreeRecord:
    found = decoded(path, raw)
    try:
        if isinstance(found, BrokenRecord):
            raise ValueError(found.problem)
        return TreeRecord.from_dict(found.data)
    except (ValueError, KeyError, TypeError, AttributeError, TreeError) as error:
        problem = f"`{error.args[0]}` is missing" if isinstance(error, KeyError) else " ".join(str(error).split())[:160]
        raise UserError(f"{path}, line {raw.line} is not a tree written by `apar extract`: {problem}") from error


@dataclass(frozen=True, slots=True)
class Example:
    """A chat up to the answer, and the answer as a paragraph tree, found by `rule`; `id` is its record's."""

    messages: tuple[Message, ...]
    tree: ParagraphTree
    rule: str
    id: str = ""

    @property
    def structured(self) -> bool:
        """Whether the answer forks."""
        return self.tree.root.forks


def read_examples(paths: Iterable[Path]) -> list[Example]:
    """The answers of all files, in order; the same answer to the same messages once, the first.

    Raises UserError where a file is missing or was not written by extraction.
    """
    examples: dict[Any, Example] = {}
    for record in (record for path in expand(paths) for record in read_trees(path)):
        said = tuple((message["role"], message["content"]) for message in record.messages)
        examples.setdefault((said, record.response), Example(record.messages, record.tree, record.rule, record.id))
    return list(examples.values())


def expand(paths: Iterable[Path]) -> Iterator[Path]:
    """The files that the paths name, each once; the patterns `*` and `?` are expanded.

    Raises UserError where there is none.
    """
    seen = set[Path]()
    for path in paths:
        for file in _matching(path):
            if file.resolve() not in seen:
                seen.add(file.resolve())
                yield file


def _matching(path: Path) -> list[Path]:
    if "*" not in str(path) and "?" not in str(path):
        if not path.is_file():
            held_out = " --set split.held_out=0.01" if path.stem == "heldout" else ""
            raise UserError(f"{path} does not exist; make it with `apar extract FILE... -o {path.parent}{held_out}`")
        return [path]
    if found := sorted(Path(path.anchor or ".").glob(str(path.relative_to(path.anchor)))):
        return found
    raise UserError(f"no file matches {path}; make them with `apar extract FILE... -o DIR`")


def first_question(messages: Sequence[Message]) -> str:
    """By what a chat is held out or not, with all its turns: its first question; case and white space do not count."""
    first = next((message["content"] for message in messages if message["role"] == "user"), "")
    return " ".join(first.lower().split())
