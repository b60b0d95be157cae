"""Texts to test extraction with: anything at all, and what looks like Markdown."""

from __future__ import annotations

from hypothesis import strategies as st

_PIECES = [
    *"ab1. \n\r\t\x0b\x0c\x1c\x85\u2028\u3000-*_`#>:|()[]<&\\~=+\x00\ud800é中😀$!?\"'–",
    "1. ",
    "2. ",
    "3) ",
    "- ",
    "* ",
    "   ",
    "    ",
    "\n\n",
    "\r\n",
    "\n1. Plan ahead: ",
    "\n2. Rest. ",
    "\n- **Bold** – ",
    "\n\n1995. It grew ",
    "```",
    "**",
    " - ",
    "Dr. ",
    "e.g. ",
    "10:30 ",
    "https://a.b/c: d",
    "| a | b |\n|---|---|\n",
    "A first sentence of some length. Another one after it. ",
    "Label: text\n\n",
    "\n> quoted\n",
]


def markdown_like() -> st.SearchStrategy[str]:
    """Texts in which lists, leads, sentences and odd line breaks are frequent."""
    return st.lists(st.sampled_from(_PIECES), max_size=80).map("".join)
