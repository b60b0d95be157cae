"""Optional parts: a clear word where a package of an extra is not installed."""

from __future__ import annotations

import importlib.util

from apar.errors import UserError


def require(extra: str, *packages: str) -> None:
    """Raise UserError naming the extra to install if one of its packages is missing."""
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise UserError(f"this needs {' and '.join(missing)}: install it with pip install 'apar-llm[{extra}]'")
