"""The paragraph tree: an answer as a binary tree whose threads can be decoded in parallel.

A node has its own text and either no pointers or both: `detail` (first child) and `next` (next sibling).
Read in reading order (node, its detail subtree, its next subtree) the texts are the answer, byte for byte.

A *thread* is what one decoder row generates: a chain of nodes linked by `next`. The k-th node of the chain
that has a detail opens the child thread k. A thread's id is its path: the root thread is `(0,)`, its second
child `(0, 1)`, and so on; the id tells the parent and the place in reading order.

Everything here is iterative, because `next` chains are as long as lists are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from apar.errors import TreeError

Path = tuple[int, ...]
ROOT: Path = (0,)


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

    path: Path
    nodes: tuple[Node, ...]

    @property
    def parent(self) -> Path | None:
        return self.path[:-1] if len(self.path) > 1 else None


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
        stack: list[Node] = [self.root]
        while stack:
            node = stack.pop()
            yield node
            if node.next is not None:
                stack.append(node.next)
            if node.detail is not None:
                stack.append(node.detail)

    def threads(self) -> Iterator[ThreadNodes]:
        """The threads, each before its children, children in the order they are forked."""
        stack: list[tuple[Path, Node]] = [(ROOT, self.root)]
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

    def _rebuild(self, tokens: Callable[[Node], tuple[int, ...] | None]) -> ParagraphTree:
        built: list[Node] = []
        for node in reversed(list(self.nodes())):
            # In reversed reading order both subtrees of a node are built before it: detail on top, then next.
            detail, follow = (built.pop(), built.pop()) if node.forks else (None, None)
            built.append(Node(node.text, detail, follow, tokens(node)))
        return ParagraphTree(built[0])

    def to_dict(self) -> dict[str, Any]:
        """Nested `{"text", "detail", "next"}`, null where there is none."""
        built: list[dict[str, Any]] = []
        for node in reversed(list(self.nodes())):
            detail, follow = (built.pop(), built.pop()) if node.forks else (None, None)
            built.append({"text": node.text, "detail": detail, "next": follow})
        return built[0]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ParagraphTree:
        """The inverse of `to_dict`; raises TreeError where the form is wrong."""
        order: list[Mapping[str, Any]] = []
        stack: list[Mapping[str, Any]] = [data]
        while stack:
            item = stack.pop()
            if not isinstance(item, Mapping) or not isinstance(item.get("text"), str):
                raise TreeError(f'a node is not an object with a string "text": {str(item)[:60]}')
            if (item.get("detail") is None) != (item.get("next") is None):
                raise TreeError(f"node {item['text'][:40]!r} has one pointer; a node has both detail and next or none")
            order.append(item)
            if item.get("next") is not None:
                stack += [item["next"], item["detail"]]
        built: list[Node] = []
        for item in reversed(order):
            detail, follow = (built.pop(), built.pop()) if item.get("detail") is not None else (None, None)
            built.append(Node(item["text"], detail, follow))
        return cls(built[0])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ParagraphTree):
            return NotImplemented
        mine, theirs = self.nodes(), other.nodes()
        return [(n.text, n.forks, n.tokens) for n in mine] == [(n.text, n.forks, n.tokens) for n in theirs]

    def __hash__(self) -> int:
        return hash(tuple((node.text, node.forks) for node in self.nodes()))

    def __repr__(self) -> str:
        return f"ParagraphTree({self.num_threads} threads, {self.text[:40]!r})"
