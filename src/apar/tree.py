"""The paragraph tree: an answer as a binary tree whose threads can be decoded in parallel.

A node has its own text and either no pointers or both: `detail` (first child) and `next` (next sibling).
Read in reading order (node, its detail subtree, its next subtree) the texts are the answer, byte for byte.

A *thread* is what one decoder row generates: a chain of nodes linked by `next`. The k-th node of the chain
that has a detail opens the child thread k. A thread's id is its path: the root thread is `(0,)`, its second
child `(0, 1)`, and so on; the id tells the parent and the place in reading order.

Everything here is iterative, because `next` chains are as long as lists are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from apar.errors import TreeError

ThreadPath = tuple[int, ...]
ROOT: ThreadPath = (0,)


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A node of a paragraph tree.

    `tokens` are the ids of `text` (no control tokens), or None before the tree is encoded.
    """

    text: str
    detail: Node | None = None
    next: Node | None = None
    tokens: tuple[int, ...] | None = None

    @property
    def forks(self) -> bool:
        """Whether the node ends in `[Fork]`."""
        return self.detail is not None


@dataclass(frozen=True, slots=True)
class ThreadNodes:
    """The nodes that one thread generates, in order; `start` counts the ancestors' nodes before them."""

    path: ThreadPath
    nodes: tuple[Node, ...]

    @property
    def parent(self) -> ThreadPath | None:
        return self.path[:-1] if len(self.path) > 1 else None


class Fork(NamedTuple):
    """A fork as character offsets in the answer: a node ends at `at`, and its detail is `[at, end)`."""

    at: int
    end: int


class ParagraphTree:
    """An answer as a paragraph tree (APAR paper, section 3.1)."""

    __slots__ = ("root",)

    def __init__(self, root: Node) -> None:
        self.root = root

    @classmethod
    def leaf(cls, text: str) -> ParagraphTree:
        """An unstructured answer: one node, no fork."""
        return cls(Node(text))

    def nodes(self) -> Iterator[Node]:
        """The nodes in reading order."""
        return (node for node, _ in self._levels())

    def _levels(self) -> Iterator[tuple[Node, int]]:
        """The nodes in reading order, each with the number of details it lies in."""
        stack = [(self.root, 0)]
        while stack:
            node, level = stack.pop()
            yield node, level
            if node.next is not None:
                stack.append((node.next, level))
            if node.detail is not None:
                stack.append((node.detail, level + 1))

    def threads(self) -> Iterator[ThreadNodes]:
        """The threads, each before its children, children in the order they are forked."""
        stack: list[tuple[ThreadPath, Node]] = [(ROOT, self.root)]
        while stack:
            path, first = stack.pop()
            chain = [first]
            while chain[-1].next is not None:
                chain.append(chain[-1].next)
            yield ThreadNodes(path, tuple(chain))
            details = [node.detail for node in chain if node.detail is not None]
            stack.extend(((*path, k), details[k]) for k in reversed(range(len(details))))

    @property
    def text(self) -> str:
        """The answer: the texts in reading order."""
        return "".join(node.text for node in self.nodes())

    @property
    def num_forks(self) -> int:
        return sum(node.forks for node in self.nodes())

    @property
    def num_threads(self) -> int:
        return self.num_forks + 1

    @property
    def depth(self) -> int:
        """Length of the longest thread path; 1 for an answer without forks."""
        return max(len(thread.path) for thread in self.threads())

    def check(self) -> None:
        """Raise TreeError if a node has one pointer only, or a forking node or a detail has no text.

        An empty `next` is legal: it is the thread ending right after its last `[Fork]`.
        """
        for node in self.nodes():
            if (node.detail is None) != (node.next is None):
                raise TreeError(f"node {node.text[:40]!r} has one pointer; a node has both detail and next or none")
            if node.forks and not node.text:
                raise TreeError("a node without text forks; [Fork] may not follow [Fork] or [Child]")
            if node.detail is not None and not node.detail.text:
                raise TreeError(f"the detail of node {node.text[:40]!r} has no text")

    def encode(self, encode: Callable[[str], list[int]]) -> ParagraphTree:
        """The same tree with every node's tokens set to `encode(text)`."""
        return self._rebuild(lambda node: tuple(encode(node.text)))

    def limited(self, depth: int) -> ParagraphTree:
        """The same answer with forks in at most `depth` levels: deeper details are text of the thread they lie in."""
        built: list[Node] = []
        for node, level in reversed(list(self._levels())):
            # As in `_rebuild`; below the limit both subtrees are one node each already.
            detail, follow = (built.pop(), built.pop()) if node.forks else (None, None)
            if detail is None or follow is None or level < depth:
                built.append(Node(node.text, detail, follow, node.tokens))
            else:
                built.append(_joined(node, detail, follow))
        return ParagraphTree(built[0])

    def _rebuild(self, tokens: Callable[[Node], tuple[int, ...] | None]) -> ParagraphTree:
        built: list[Node] = []
        for node in reversed(list(self.nodes())):
            # In reversed reading order both subtrees of a node are built before it: detail on top, then next.
            detail, follow = (built.pop(), built.pop()) if node.forks else (None, None)
            built.append(Node(node.text, detail, follow, tokens(node)))
        return ParagraphTree(built[0])

    def forks(self) -> list[Fork]:
        """The forks in reading order: with the text they are the whole tree, in a form that does not nest."""
        found: list[Fork] = []
        stack: list[Node | int] = [self.root]  # a number stands for the fork whose detail ends there
        at = 0
        while stack:
            item = stack.pop()
            if isinstance(item, int):
                found[item] = Fork(found[item].at, at)
                continue
            at += len(item.text)
            if item.next is not None and item.detail is not None:
                stack += [item.next, len(found), item.detail]
                found.append(Fork(at, at))
        return found

    @classmethod
    def from_forks(cls, text: str, forks: Iterable[tuple[int, int]]) -> ParagraphTree:
        """The tree of `text` with its forks in reading order; the inverse of `forks`.

        Raises TreeError where a fork is out of order, outside the text, crosses another or leaves a node or
        a detail without text.
        """
        chains: list[Node | None] = [None]  # by level, the nodes from the fork last built on
        for level, begin, at, end, limit in reversed(list(_placed(len(text), forks))):
            chains += [None] * (level + 2 - len(chains))
            detail = chains[level + 1] or Node(text[at:end])
            chains[level + 1] = None
            chains[level] = Node(text[begin:at], detail, chains[level] or Node(text[end:limit]))
        return cls(chains[0] or Node(text))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ParagraphTree):
            return NotImplemented
        mine, theirs = self.nodes(), other.nodes()
        return [(n.text, n.forks, n.tokens) for n in mine] == [(n.text, n.forks, n.tokens) for n in theirs]

    def __hash__(self) -> int:
        return hash(tuple((node.text, node.forks) for node in self.nodes()))

    def __repr__(self) -> str:
        return f"ParagraphTree({self.num_threads} threads, {self.text[:40]!r})"


def _joined(*nodes: Node) -> Node:
    """One node with the text of several."""
    tokens = [node.tokens for node in nodes if node.tokens is not None]
    ids = tuple(token for part in tokens for token in part) if len(tokens) == len(nodes) else None
    return Node("".join(node.text for node in nodes), tokens=ids)


def _placed(length: int, forks: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int, int, int, int]]:
    """Each fork with its level, where its node begins, and where the text of its level ends."""
    begins = [0]  # by level, where the next node begins
    limits = [length]
    for at, end in forks:
        while len(limits) > 1 and at >= limits[-1]:
            limits.pop()
            begins.pop()
        if not begins[-1] < at < end <= limits[-1]:
            raise TreeError(f"the fork at {at} with a detail up to {end} does not fit the text or the forks before it")
        yield len(begins) - 1, begins[-1], at, end, limits[-1]
        begins[-1] = end
        begins.append(at)
        limits.append(end)
