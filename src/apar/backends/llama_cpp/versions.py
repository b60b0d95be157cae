"""Which llama-cpp-python is installed, and whether it fits. Nothing here imports it: that loads a library."""

from __future__ import annotations

import importlib.util
from importlib.metadata import PackageNotFoundError, version

from apar.errors import UserError
from apar.extras import fits

LOWEST = "0.3.36"
"""The version that the tests run with, and the first that is accepted; the same bound as in pyproject.toml."""

BELOW = "0.4"
"""The first version that nothing is known about; the same bound as in pyproject.toml."""

_INSTALL = "install it with pip install 'apar-llm[llama-cpp]' (docs/llama-cpp.md: a compiler and some minutes)"


def installed() -> str | None:
    """The version of llama-cpp-python in this environment; None where there is none."""
    if importlib.util.find_spec("llama_cpp") is None:
        return None
    try:
        return version("llama-cpp-python")
    except PackageNotFoundError:
        return None


def is_usable() -> bool:
    """Whether a version that fits is installed."""
    found = installed()
    return found is not None and fits(found, f">={LOWEST},<{BELOW}")


def require_llama_cpp() -> str:
    """The version of llama-cpp-python. Raises UserError where there is none, or none that fits."""
    found = installed()
    needed = f"llama-cpp-python {LOWEST} or later, below {BELOW}"
    if found is None:
        raise UserError(f"llama-cpp-python is not installed, and this needs {needed}: {_INSTALL}")
    if not is_usable():
        raise UserError(f"llama-cpp-python {found} is installed, and this needs {needed}: {_INSTALL}")
    return found
