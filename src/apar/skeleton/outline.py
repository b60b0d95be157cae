"""The points of an outline that a model has written."""

from __future__ import annotations

import re

MAX_POINTS = 32
"""Points beyond are left out: an outline that never ends has more."""

_POINT = re.compile(r"^[ \t]*\d{1,3}[.)](?!\d)[ \t]*(.*\S)[ \t]*$", re.MULTILINE)


def points_of(outline: str) -> list[str]:
    """The texts behind the numbers of an outline, in their order."""
    return _POINT.findall(outline)[:MAX_POINTS]
