"""The details of an answer and the contexts in which a model reads them.

The *level* of a detail counts the details it lies in, itself included. A token may miss what stands before it
in reading order because details at level 1 are hidden from it, or at level 2, and so on. So an answer is laid
out once for every depth: at depth 0 it is plain text, and everything before a token is shown; at depth d the
details of levels 1 to d are threads of their own, and only a token's path is shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from apar.tokens import ControlTokens
from apar.tree import ParagraphTree


class Detail(NamedTuple):
    """A detail `[at, end)` of an answer, in characters or in tokens.

    `number` counts the details of its thread, from 0: only from number 1 on is anything hidden at its level.
    `parent` is the index of the detail it lies in directly, -1 for the answer itself.
    """

    at: int
    end: int
    level: int
    number: int
    parent: int


def details(tree: ParagraphTree) -> list[Detail]:
    """The details in reading order, one for each of `tree.forks()`, in characters."""
    found: list[Detail] = []
    around: list[int] = []
    numbers: Counter[int] = Counter()
    for at, end in tree.forks():
        while around and at >= found[around[-1]].end:
            around.pop()
        parent = around[-1] if around else -1
        around.append(len(found))
        found.append(Detail(at, end, len(around), numbers[parent], parent))
        numbers[parent] += 1
    return found


@dataclass(frozen=True, slots=True)
class EncodedAnswer:
    """An answer's tokens in reading order and its details in tokens; each node is encoded on its own."""

    tokens: tuple[int, ...]
    details: tuple[Detail, ...]

    @classmethod
    def of(cls, tree: ParagraphTree, encode: Callable[[str], list[int]]) -> EncodedAnswer:
        tokens: list[int] = []
        places = {0: 0}  # every border between nodes: characters to tokens
        characters = 0
        for node in tree.nodes():
            tokens += encode(node.text) if node.text else []
            characters += len(node.text)
            places[characters] = len(tokens)
        return cls(tuple(tokens), tuple(d._replace(at=places[d.at], end=places[d.end]) for d in details(tree)))

    @property
    def depth(self) -> int:
        """The deepest level of a detail; 0 without details."""
        return max((detail.level for detail in self.details), default=0)


@dataclass(slots=True)
class Layout:
    """A prompt and an answer as a model reads them: lists of one length, as in `apar.train.samples`.

    `before` has for each token of the answer's text, in reading order, the index of the token that it is
    predicted from, and `targets` the token itself.
    """

    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    subtree_end: list[int] = field(default_factory=list)
    before: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)


def layout(prompt: Sequence[int], answer: EncodedAnswer, depth: int, control: ControlTokens | None) -> Layout:
    """Lay `answer` out after `prompt` (at least a token) with the details of levels 1 to `depth` as threads.

    With `control` a thread is opened by `[Fork]` and `[Child]`; without, the path's text is joined as it is.
    """
    laid = Layout()
    path: list[int] = []  # the indices that the next token sees
    opened: list[tuple[int, int]] = []  # of the details around: the end, and the length of the path before
    waiting = [d for d in reversed(answer.details) if d.level <= depth and d.at < d.end]
    for token in prompt:
        _put(laid, path, token)
    for index, token in enumerate(answer.tokens):
        while opened and opened[-1][0] <= index:
            _close(laid, path, opened.pop()[1])
        while waiting and waiting[-1].at == index:
            if control is not None:
                _put(laid, path, control.fork)
            opened.append((waiting.pop().end, len(path)))
            if control is not None:
                _put(laid, path, control.child)
        laid.before.append(path[-1])
        laid.targets.append(token)
        _put(laid, path, token)
    _close(laid, path, 0)
    return laid


def _put(laid: Layout, path: list[int], token: int) -> None:
    path.append(len(laid.ids))
    laid.ids.append(token)
    laid.positions.append(len(path) - 1)
    laid.subtree_end.append(0)


def _close(laid: Layout, path: list[int], length: int) -> None:
    """End the subtrees of what the path has beyond `length`."""
    for index in path[length:]:
        laid.subtree_end[index] = len(laid.ids)
    del path[length:]
