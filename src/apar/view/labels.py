"""What threads are called in views: their path, and the lead they carry out."""

from __future__ import annotations

import re
from collections.abc import Mapping

from rich.cells import cell_len

from apar.assemble import ThreadRecord
from apar.sizes import counted
from apar.tree import ThreadPath

# Controls, changes of direction and lone surrogates: they would steer a terminal, or are no legal characters of XML.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def printable(text: str) -> str:
    """The text with control characters, other than tab and line end, made visible as U+FFFD."""
    return _UNPRINTABLE.sub("\ufffd", text.replace("\r\n", "\n"))


def path_label(path: ThreadPath) -> str:
    """A thread's id as people read it: `0.2.1`."""
    return ".".join(map(str, path))


def drafts_label(drafted: int, accepted: int) -> str:
    """What share of the draft tokens was right: `43 % of 96 draft tokens right`. There must be some."""
    return f"{100 * accepted / drafted:.0f} % of {counted(drafted, 'draft token')} right"


def not_forked_label(reasons: Mapping[str, int]) -> str:
    """Why leads did not fork: `3 leads did not fork (limits 2, table)`. There must be some."""
    told = ", ".join(f"{reason} {count}" if count > 1 else reason for reason, count in sorted(reasons.items()))
    return f"{counted(sum(reasons.values()), 'lead')} did not fork ({told})"


def lead_label(threads: Mapping[ThreadPath, ThreadRecord], path: ThreadPath, width: int) -> str:
    """The first words of the lead whose detail the thread is, in at most `width` terminal cells.

    The lead is the last line of the node that forked the thread. The root has none: it is the answer.
    """
    parent = threads.get(path[:-1])
    if parent is None:
        return shorten("answer", width)
    node = "".join(delta.text for delta in parent.nodes[path[-1]])
    lines = node.strip().splitlines()
    return shorten(lines[-1] if lines else "", width)


def shorten(text: str, width: int) -> str:
    """The text on one line in at most `width` terminal cells, cut at a word where one fits."""
    # A character takes no cell at the least and most take one, so this is far more than fits.
    line = " ".join(printable(text[: 8 * width + 200]).split())
    if cell_len(line) <= width:
        return line
    while line and cell_len(line) >= width:
        line = line[:-1]
    words = line.rpartition(" ")[0]
    return (words if len(words) > len(line) // 2 else line).rstrip() + "…" if width > 0 else ""
