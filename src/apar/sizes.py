"""Sizes in bytes, and counts of things, as people write and read them."""

from __future__ import annotations

import re

from apar.errors import RequestError

_UNITS = {"": 1, "b": 1} | {
    name: base**power
    for power, letter in enumerate("kmgt", 1)
    for name, base in ((letter, 1024), (f"{letter}ib", 1024), (f"{letter}b", 1000))
}


def parse_bytes(size: int | str, name: str) -> int:
    """Bytes of a number or of a text as "2GiB", "512 MB"; raises RequestError for anything else or below 1.

    `name` is what the size is of.
    """
    if isinstance(size, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", size.lower())
        parsed = int(float(match[1]) * _UNITS[match[2]]) if match and match[2] in _UNITS else 0
    else:
        parsed = int(size)
    if parsed < 1:
        raise RequestError(f"{name} is {size!r}; give bytes, or a size as 2GiB or 512MiB")
    return parsed


def show_bytes(size: int) -> str:
    """Bytes for a reader."""
    for unit, width in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= width:
            return f"{size / width:.1f} {unit}"
    return f"{size} bytes"


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number and its noun, as `1 thread` and `2 threads`; `plural` where it is not the noun with an s."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
