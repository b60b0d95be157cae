"""From a prompt and an encoded paragraph tree to what the trainer reads: each token once, in one sequence.

A tree is laid out depth first: a node's tokens, its `[Fork]`, its detail subtree (opened by `[Child]`), its
next subtree; a leaf ends in end-of-sequence. Four numbers go with every token:

- its *path position*: the distance from the root along its own path (siblings' positions overlap),
- its *next*: the index of the token that follows it on its path, -1 where none does. What follows `[Fork]` is the
  next sibling; nothing leads to `[Child]`, which itself is followed by the detail's first token,
- its *target*: whether what follows is learned, and whether that is text or a control token,
- its *subtree end* (exclusive, as an index into the sequence): token i attends to token j exactly when
  `j <= i < subtree_end[j]`. This is tree attention (APAR paper, section 3.2) in one integer a token.

The label of a token is the id at its next; that of Medusa head k (1, 2, ...) the id reached by k more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from apar.tokens import ControlTokens
from apar.tree import Node, ParagraphTree

Item = TypeVar("Item")

IGNORE = -100
"""The label of a token that predicts nothing; what torch's cross entropy leaves out."""

NO_TARGET, TEXT, CONTROL = 0, 1, 2
"""Kinds of target: none, a token of the answer's text (these losses can be compared between forked and sequential
training), and `[Fork]`, end-of-sequence or a token of the prompt."""


@dataclass(slots=True)
class Sample:
    """One or more packed samples: five lists of one length."""

    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    next: list[int] = field(default_factory=list)
    target: list[int] = field(default_factory=list)
    subtree_end: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def labels(self) -> list[int]:
        """The token that each token is to predict; `IGNORE` where none."""
        return [self.ids[at] if kind else IGNORE for at, kind in zip(self.next, self.target, strict=True)]

    @property
    def is_text(self) -> list[bool]:
        """Whether each label is a token of the answer's text."""
        return [kind == TEXT for kind in self.target]

    def extend(self, other: Sample) -> None:
        """Append another sample; its indices move along, so the two do not see each other."""
        offset = len(self)
        self.ids += other.ids
        self.positions += other.positions
        self.next += [-1 if at < 0 else at + offset for at in other.next]
        self.target += other.target
        self.subtree_end += [end + offset for end in other.subtree_end]

    def _put(self, token: int, position: int) -> int:
        self.ids.append(token)
        self.positions.append(position)
        self.next.append(-1)
        self.target.append(NO_TARGET)
        self.subtree_end.append(0)
        return len(self.ids) - 1

    def _lead(self, before: int, token: int, target: int) -> int:
        """Write the token that follows `before` on its path; return its index."""
        self.next[before] = len(self.ids)
        self.target[before] = target
        return self._put(token, self.positions[before] + 1)


def tree_sample(
    prompt: Sequence[int],
    tree: ParagraphTree,
    control: ControlTokens | None,
    eos: int | None,
    *,
    loss_on_prompt: bool = False,
) -> Sample:
    """Lay an encoded tree out after its prompt.

    Without `control` a detail follows its path's text as it is (the labels before forks are then of no use), and
    without `eos` nothing ends a thread: so answers are measured, not trained on.
    A node's tokens are open until its whole subtree is written, so ends are filled in when a subtree closes.
    """
    sample = Sample()
    before = _put_prompt(sample, prompt, loss_on_prompt=loss_on_prompt)
    # What is left to write: a node with the index of its path predecessor, or a range of tokens to close.
    todo: list[tuple[Node, int] | range] = [range(len(prompt)), (tree.root, before)]
    while todo:
        item = todo.pop()
        if isinstance(item, range):
            sample.subtree_end[item.start : item.stop] = [len(sample)] * len(item)
            continue
        node, before = item
        first = len(sample)
        last = _put_text(sample, node, before)
        end = eos if not node.forks else None if control is None else control.fork
        last = last if end is None else sample._lead(last, end, CONTROL)
        todo.append(range(first, len(sample)))
        if node.detail is not None and node.next is not None:
            todo.append((node.next, last))
            # [Child] belongs to the detail's subtree: it is closed with it.
            child = last if control is None else sample._put(control.child, sample.positions[last] + 1)
            todo += [range(last + 1, child + 1), (node.detail, child)]
    return sample


def sequential_sample(prompt: Sequence[int], tree: ParagraphTree, eos: int, *, loss_on_prompt: bool = False) -> Sample:
    """The same answer as plain text: the nodes' tokens in reading order, no control tokens, causal attention."""
    sample = Sample()
    before = _put_prompt(sample, prompt, loss_on_prompt=loss_on_prompt)
    for node in tree.nodes():
        before = _put_text(sample, node, before)
    sample._lead(before, eos, CONTROL)
    sample.subtree_end = [len(sample)] * len(sample)
    return sample


def _put_prompt(sample: Sample, prompt: Sequence[int], *, loss_on_prompt: bool) -> int:
    last = sample._put(prompt[0], 0)
    for token in prompt[1:]:
        last = sample._lead(last, token, CONTROL if loss_on_prompt else NO_TARGET)
    return last


def _put_text(sample: Sample, node: Node, before: int) -> int:
    """Write the node's tokens after `before`; return the index of the last one."""
    assert node.tokens is not None, "encode the tree first"
    for token in node.tokens:
        before = sample._lead(before, token, TEXT)
    return before


def pack(samples: Iterable[Sample], length: int) -> Iterator[Sample]:
    """Join samples, in order, into packs of at most `length` tokens.

    A sample longer than `length` raises ValueError: the caller decides what to do with it.
    """
    for group in bins(samples, len, length):
        joined = Sample()
        for sample in group:
            joined.extend(sample)
        yield joined


def bins(items: Iterable[Item], size: Callable[[Item], int], capacity: int) -> Iterator[list[Item]]:
    """Put items, in order, into the first of a few open bins that has room; give the fullest when there are too many.

    An item larger than `capacity` raises ValueError.
    """
    open_bins: list[list[Item]] = []
    filled: list[int] = []
    for item in items:
        if size(item) > capacity:
            raise ValueError(f"an item of {size(item)} does not fit into {capacity}")
        fitting = next((k for k, used in enumerate(filled) if used + size(item) <= capacity), None)
        if fitting is None:
            fitting = len(filled)
            open_bins.append([])
            filled.append(0)
        open_bins[fitting].append(item)
        filled[fitting] += size(item)
        if len(filled) > OPEN_BINS:
            fullest = max(range(len(filled)), key=filled.__getitem__)
            del filled[fullest]
            yield open_bins.pop(fullest)
    yield from open_bins


OPEN_BINS = 16
"""Packs that may still take a sample: more fill better (16 give about 97 %), fewer keep the order closer."""
