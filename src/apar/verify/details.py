"""The details of an answer and the contexts in which a model reads them.

The *level* of a detail counts the details it lies in, itself included. A token may miss what stands before it
in reading order because details at level 1 are hidden from it, or at level 2, and so on. So an answer is laid
out once for every depth: at depth 0 it is plain text, and everything before a token is shown; at depth d the
details of levels 1 to d are threads of their own, and only a token's path is shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from apar.tokens import ControlTokens
from apar.train.samples import tree_sample
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
    """An answer's tree, each node encoded on its own, and its details in tokens in reading order."""

    tree: ParagraphTree
    details: tuple[Detail, ...]

    @classmethod
    def of(cls, tree: ParagraphTree, encode: Callable[[str], list[int]]) -> EncodedAnswer:
        encoded = tree.encode(lambda text: encode(text) if text else [])
        nodes = list(encoded.nodes())
        characters = accumulate((len(node.text) for node in nodes), initial=0)
        tokens = accumulate((len(node.tokens or ()) for node in nodes), initial=0)
        borders = dict(zip(characters, tokens, strict=True))  # between nodes: characters to tokens
        return cls(encoded, tuple(d._replace(at=borders[d.at], end=borders[d.end]) for d in details(tree)))

    @property
    def tokens(self) -> tuple[int, ...]:
        """Those of the text, in reading order."""
        return tuple(token for node in self.tree.nodes() for token in node.tokens or ())

    @property
    def depth(self) -> int:
        """The deepest level of a detail; 0 without details."""
        return max((detail.level for detail in self.details), default=0)


@dataclass(frozen=True, slots=True)
class Layout:
    """A prompt and an answer as a model reads them: lists of one length, as in `apar.train.samples`.

    `before` has for each token of the answer's text, in reading order, the index of the token that it is
    predicted from, and `targets` the token itself.
    """

    ids: list[int]
    positions: list[int]
    subtree_end: list[int]
    before: list[int]
    targets: list[int]

    def __len__(self) -> int:
        return len(self.ids)


def layout(prompt: Sequence[int], answer: EncodedAnswer, depth: int, control: ControlTokens | None) -> Layout:
    """Lay `answer` out after `prompt` (at least a token) with the details of levels 1 to `depth` as threads.

    With `control` a thread is opened by `[Fork]` and `[Child]`; without, the path's text is joined as it is.
    """
    sample = tree_sample(prompt, answer.tree.limited(depth), control, eos=None)
    hidden = frozenset[int]() if control is None else {control.fork, control.child}
    path = list(range(len(prompt)))  # the indices that the next token sees
    before: list[int] = []
    targets: list[int] = []
    for index, token in enumerate(sample.ids[len(prompt) :], len(prompt)):
        while sample.subtree_end[path[-1]] <= index:
            path.pop()
        if token not in hidden:
            before.append(path[-1])
            targets.append(token)
        path.append(index)
    return Layout(sample.ids, sample.positions, sample.subtree_end, before, targets)
