"""What the model is asked: for an outline first, then to go on with one of its points.

Both requests have the parts of those that were published: the task, the question, how short to be, and the beginning of
the answer, which the model goes on from. The wording is our own.
"""

from __future__ import annotations

from collections.abc import Sequence

from apar.tokens import Message

_OUTLINE = """\
Your only task is to outline an answer to the question below; the answer itself is written later. Give a numbered \
list of points (1., 2., 3., and so on). Every point is a phrase of only 3 to 5 words, not a sentence. Most outlines \
have 3 to 10 points.

Question:
{question}

Outline:"""
_POINT = """\
Your only task is to go on with one point, and no other, of the answer to the question below.

Question:
{question}

The outline of the answer is:
{outline}

Be very brief, 1 or 2 sentences, and write nothing about the other points. Go on with point {number}."""
"""What differs from point to point stands last: the cache shares what is before."""

OUTLINE_BEGINS = "1."
"""With what the model's outline is made to begin."""


def outline_request(question: str) -> list[Message]:
    """The chat that asks for an outline of the answer."""
    return [{"role": "user", "content": _OUTLINE.format(question=question)}]


def point_request(question: str, points: Sequence[str], number: int) -> list[Message]:
    """The chat that asks for more on point `number`, counted from 1."""
    outline = "\n".join(f"{place}. {point}" for place, point in enumerate(points, 1))
    content = _POINT.format(question=question, outline=outline, number=number)
    return [{"role": "user", "content": content}]
