"""Which blocks hold the beginning of which path, so that a later request does not compute it again."""

from __future__ import annotations

from collections.abc import Sequence

EMPTY_PREFIX = 0
"""The node before the first token of every path."""

_Key = tuple[int, tuple[int, ...]]


class PrefixCache:
    """Full blocks by what they hold and what comes before it, compared token by token: no hash can deceive it.

    A *node id* is a number for one content of all blocks so far; the node after a block is looked up by the
    node before it and the block's tokens.
    """

    __slots__ = ("_blocks", "_found", "_num_nodes", "block_size")

    def __init__(self, block_size: int) -> None:
        self.block_size = block_size
        self._found: dict[_Key, tuple[int, int]] = {}  # the block, and the node after it
        self._blocks: dict[int, _Key] = {}
        self._num_nodes = EMPTY_PREFIX

    def __len__(self) -> int:
        return len(self._blocks)

    def knows(self, block: int) -> bool:
        return block in self._blocks

    def find(self, tokens: Sequence[int]) -> tuple[list[int], list[int]]:
        """The blocks that hold the longest known beginning of `tokens`, and the node id after each.

        The last token is never found: it has to be fed for its logits.
        """
        blocks, nodes, node = [], [], EMPTY_PREFIX
        for begin in range(0, len(tokens) - self.block_size, self.block_size):
            entry = self._found.get((node, tuple(tokens[begin : begin + self.block_size])))
            if entry is None:
                break
            block, node = entry
            blocks.append(block)
            nodes.append(node)
        return blocks, nodes

    def add(self, node: int, tokens: Sequence[int], block: int) -> int:
        """`block` holds `tokens` after `node`; return the node id after it. The first of equal blocks is kept."""
        key = (node, tuple(tokens))
        entry = self._found.get(key)
        if entry is None:
            self._num_nodes += 1
            entry = self._found[key] = (block, self._num_nodes)
            self._blocks[block] = key
        return entry[1]

    def forget(self, block: int) -> None:
        """The block's content is gone, or not to be trusted."""
        key = self._blocks.pop(block, None)
        if key is not None:
            del self._found[key]
