"""Random encoded paragraph trees."""

from __future__ import annotations

import random

from apar.tree import Node, ParagraphTree


def random_tree(rng: random.Random, vocabulary: list[int], *, max_depth: int = 4) -> ParagraphTree:
    """A tree whose nodes have 1 to 5 tokens of `vocabulary`; a `next` may be empty."""
    return ParagraphTree(_subtree(rng, vocabulary, max_depth, may_be_empty=False))


def _subtree(rng: random.Random, vocabulary: list[int], depth: int, *, may_be_empty: bool) -> Node:
    empty = may_be_empty and rng.random() < 0.3
    tokens = () if empty else tuple(rng.choices(vocabulary, k=rng.randint(1, 5)))
    text = "".join(chr(97 + token % 26) for token in tokens)
    if empty or depth == 0 or rng.random() < 0.4:
        return Node(text, tokens=tokens)
    detail = _subtree(rng, vocabulary, depth - 1, may_be_empty=False)
    follow = _subtree(rng, vocabulary, depth - 1, may_be_empty=True)
    return Node(text, detail, follow, tokens)
