"""Optional parts: a clear word where a package of an extra is not installed, and bounds of versions."""

from __future__ import annotations

import importlib.util

from apar.errors import UserError


def require(extra: str, *packages: str) -> None:
    """Raise UserError naming the extra to install if one of its packages is missing."""
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise UserError(f"this needs {' and '.join(missing)}: install it with pip install 'apar-llm[{extra}]'")


def fits(version: str, bounds: str) -> bool:
    """Whether a version is within bounds as `>=0.28,<0.34`, by the rules of Python packages; empty bounds take any.

    What comes before a release lies below it: 0.34.0rc1 is not within `>=0.34`, and `<0.34` excludes it too. What is
    no version is within no bounds.
    """
    from packaging.specifiers import SpecifierSet
    from packaging.version import InvalidVersion

    try:
        return not bounds or SpecifierSet(bounds).contains(version, prereleases=True)
    except InvalidVersion:
        return False
