"""From a prompt and an encoded paragraph tree to what the trainer reads: each token once, in one sequence.

A tree is laid out depth first: a node's tokens, its `[Fork]`, its detail subtree (opened by `[Child]`), its
next subtree; a leaf ends in end-of-sequence. Three numbers go with every token:

- its *path position*: the distance from the root along its own path (siblings' positions overlap),
- its *label*: the token that follows it on its path, explicit and not shifted; `IGNORE` where there is no
  target. What follows `[Fork]` is the next sibling; nothing predicts `[Child]`, which itself predicts the
  detail's first token,
- its *subtree end* (exclusive, as an index into the sequence): token i attends to token j exactly when
  `j <= i < subtree_end[j]`. This is tree attention (APAR paper, section 3.2) in one integer a token.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from apar.tokens import ControlTokens
from apar.tree import Node, ParagraphTree

IGNORE = -100
"""The label of a token that predicts nothing; what torch's cross entropy leaves out."""


@dataclass(slots=True)
class Sample:
    """One or more packed samples: four lists of one length.

    `is_text[i]` says whether the label at i is a token of the answer's text, neither `[Fork]` nor
    end-of-sequence: losses over these can be compared between forked and sequential training.
    """

    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    subtree_end: list[int] = field(default_factory=list)
    is_text: list[bool] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    def extend(self, other: Sample) -> None:
        """Append another sample; its subtree ends move along, so the two do not see each other."""
        offset = len(self)
        self.ids += other.ids
        self.positions += other.positions
        self.labels += other.labels
        self.subtree_end += [end + offset for end in other.subtree_end]
        self.is_text += other.is_text

    def _put(self, token: int, position: int) -> int:
        self.ids.append(token)
        self.positions.append(position)
        self.labels.append(IGNORE)
        self.subtree_end.append(0)
        self.is_text.append(False)
        return len(self.ids) - 1

    def _aim(self, index: int, label: int, *, is_text: bool) -> None:
        self.labels[index] = label
        self.is_text[index] = is_text


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
        last = last if end is None else _follow(sample, last, end)
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
    _follow(sample, before, eos)
    sample.subtree_end = [len(sample)] * len(sample)
    return sample


def _put_prompt(sample: Sample, prompt: Sequence[int], *, loss_on_prompt: bool) -> int:
    for position, token in enumerate(prompt):
        index = sample._put(token, position)
        if loss_on_prompt and index:
            sample._aim(index - 1, token, is_text=False)
    return len(prompt) - 1


def _put_text(sample: Sample, node: Node, before: int) -> int:
    """Write the node's tokens after `before`; return the index of the last one."""
    assert node.tokens is not None, "encode the tree first"
    for token in node.tokens:
        sample._aim(before, token, is_text=True)
        before = sample._put(token, sample.positions[before] + 1)
    return before


def _follow(sample: Sample, before: int, control: int) -> int:
    sample._aim(before, control, is_text=False)
    return sample._put(control, sample.positions[before] + 1)


def pack(samples: Iterable[Sample], length: int, open_packs: list[Sample] | None = None) -> Iterator[Sample]:
    """Join samples, in order, into packs of at most `length` tokens, keeping a few packs open.

    `open_packs` is the list to keep them in: between two packs, with what is left of `samples`, it decides all
    that follows. A sample longer than `length` raises ValueError: the caller decides what to do with it.
    """
    open_packs = [] if open_packs is None else open_packs
    for sample in samples:
        if len(sample) > length:
            raise ValueError(f"a sample of {len(sample)} tokens does not fit into a pack of {length}")
        fitting = next((p for p in open_packs if len(p) + len(sample) <= length), None)
        if fitting is None:
            fitting = Sample()
            open_packs.append(fitting)
        fitting.extend(sample)
        if len(open_packs) > OPEN_PACKS:
            fullest = max(range(len(open_packs)), key=lambda k: len(open_packs[k]))
            yield open_packs.pop(fullest)
    yield from open_packs


OPEN_PACKS = 16
"""Packs that may still take a sample: more fill better (16 give about 97 %), fewer keep the order closer."""
