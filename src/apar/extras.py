"""Optional parts: a clear word where a package of an extra is not installed, and bounds of versions."""

from __future__ import annotations

import importlib.util
import operator
import re

from apar.errors import UserError

_COMPARISONS = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
    "!=": operator.ne,
}


def require(extra: str, *packages: str) -> None:
    """Raise UserError naming the extra to install if one of its packages is missing."""
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise UserError(f"this needs {' and '.join(missing)}: install it with pip install 'apar-llm[{extra}]'")


def fits(version: str, bounds: str) -> bool:
    """Whether a version is within bounds as `>=0.28,<0.34`; empty bounds take any.

    Only the numbers count that a version begins with: 0.34.0rc1 and 0.34.0+cpu are 0.34. One that begins with
    none is within no bounds.
    """
    numbers = _numbers(version)
    if not bounds or not numbers:
        return not bounds
    pairs = [re.fullmatch(r"\s*([<>=!]=|[<>])\s*([\d.]+)\s*", bound) for bound in bounds.split(",")]
    return all(pair is not None and _COMPARISONS[pair[1]](numbers, _numbers(pair[2])) for pair in pairs)


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers that a version begins with, without zeros at the end but for the first."""
    match = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(number) for number in match[0].split(".")] if match else []
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
