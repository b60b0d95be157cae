"""What a model is trained or measured on: the answers of files that `apar extract` wrote, just as it wrote them.

What is left out, and what is held out, was decided there: training and evaluation choose nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from apar.data.records import read_trees
from apar.errors import UserError
from apar.tokens import Message
from apar.tree import ParagraphTree


@dataclass(frozen=True, slots=True)
class Example:
    """A chat up to the answer, and the answer as a paragraph tree, found by `rule`."""

    messages: tuple[Message, ...]
    tree: ParagraphTree
    rule: str

    @property
    def structured(self) -> bool:
        """Whether the answer forks."""
        return self.tree.root.forks


def read_examples(paths: Iterable[Path]) -> list[Example]:
    """The answers of all files, in order. Raises UserError where a file is missing or was not written by extraction."""
    return [Example(record.messages, record.tree, record.rule) for path in expand(paths) for record in read_trees(path)]


def expand(paths: Iterable[Path]) -> Iterator[Path]:
    """The files that the paths name; the patterns `*` and `?` are expanded. Raises UserError where there is none."""
    for path in paths:
        if "*" not in str(path) and "?" not in str(path):
            if not path.is_file():
                held_out = " --set split.held_out=0.01" if path.stem == "heldout" else ""
                raise UserError(
                    f"{path} does not exist; make it with `apar extract FILE... -o {path.parent}{held_out}`"
                )
            yield path
        elif found := sorted(Path(path.anchor or ".").glob(str(path.relative_to(path.anchor)))):
            yield from found
        else:
            raise UserError(f"no file matches {path}; make them with `apar extract FILE... -o DIR`")


def first_question(messages: Sequence[Message]) -> str:
    """By what a chat is held out or not, with all its turns: its first question; case and white space do not count."""
    first = next((message["content"] for message in messages if message["role"] == "user"), "")
    return " ".join(first.lower().split())
