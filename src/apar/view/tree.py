"""A paragraph tree drawn in the terminal: threads as branches, each in its colour, with `[Fork]` marks."""

from __future__ import annotations

from rich.text import Text
from rich.tree import Tree

from apar.tokens import FORK
from apar.tree import ROOT, Node, ParagraphTree, Path
from apar.view.labels import printable

_COLOURS = ("cyan", "green", "yellow", "magenta", "blue", "bright_red")


def draw_tree(tree: ParagraphTree, title: str) -> Tree:
    """The tree as a rich renderable under `title`.

    The nodes of a thread are branches of one level, and the detail that a node forks is the branch under it.
    White space at the ends of a node is left out.
    """
    drawing = Tree(Text(printable(title)), guide_style="dim")
    branches = {ROOT: drawing}
    for thread in tree.threads():
        branch, forks = branches.pop(thread.path), 0
        for node in thread.nodes:
            if not node.text.strip() and not node.forks:
                continue
            leaf = branch.add(_label(node, _colour(thread.path)))
            if node.forks:
                branches[(*thread.path, forks)] = leaf
                forks += 1
    return drawing


def _label(node: Node, style: str) -> Text:
    label = Text(printable(node.text.strip()), style)
    return label.append(FORK, style="bold reverse") if node.forks else label


def _colour(path: Path) -> str:
    # Siblings and parents differ: every step down the path moves on by the child's place, plus one.
    return _COLOURS[sum(place + 1 for place in path[1:]) % len(_COLOURS)]
