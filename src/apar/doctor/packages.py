"""Python and the packages of apar and its extras, by their metadata: nothing is imported."""

from __future__ import annotations

import platform
import re
from collections import defaultdict
from functools import partial
from importlib import metadata

from apar.doctor.check import Check, Finding, examine
from apar.extras import fits

NAME = "apar-llm"
EXTRAS = ("local", "remote", "server", "client", "adapters", "quantize", "sentencepiece", "data")
"""Those with a row of the table. vLLM has rows of its own, and `dev` is for who changes apar."""

_NEEDED_BY = {"": ("local", "vllm", "server"), "local": ("local", "vllm"), "remote": ("server",)}


def package_checks() -> list[Check]:
    """Python, what apar itself needs, and one check for each extra."""
    wanted: dict[str, list[tuple[str, str]]] = {}

    def apar() -> Finding:
        wanted.update(requirements())
        return _installed("", wanted.get(""))

    checks = [
        examine(name, _NEEDED_BY[""], look, f"pip install {NAME}")
        for name, look in (("Python", _python), ("apar", apar))
    ]
    for extra in EXTRAS if wanted else ():
        look = partial(_installed, extra, wanted.get(extra))
        checks.append(examine(f"extra {extra}", _NEEDED_BY.get(extra, ()), look))
    return checks


def requirements() -> dict[str, list[tuple[str, str]]]:
    """The packages that apar requires, with their bounds, by extra; those it always needs under "".

    Raises PackageNotFoundError where apar runs without being installed.
    """
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for requirement in metadata.requires(NAME) or []:
        wanted, _, marker = requirement.partition(";")
        match = re.match(r"([\w.-]+)(?:\[[^]]*\])?\s*(.*)", wanted.strip())
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", marker)
        if match:
            found[extra[1] if extra else ""].append((match[1], match[2].strip()))
    return found


def _python() -> Finding:
    wanted = metadata.metadata(NAME)["Requires-Python"] or ""
    running = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if not fits(platform.python_version(), wanted):
        return Finding("broken", running, f"use a Python {wanted}")
    return Finding("ok", running)


def _installed(extra: str, packages: list[tuple[str, str]] | None) -> Finding:
    """What is there of an extra's packages, and what is not or out of its bounds."""
    if packages is None:
        return Finding(
            "broken", f"the installed {NAME} knows no such extra", f"install {NAME} again, it is an older one"
        )
    versions = {name: _version(name) for name, _ in packages}
    missing = [name for name, version in versions.items() if version is None]
    wrong = [(name, bounds) for name, bounds in packages if (v := versions[name]) is not None and not fits(v, bounds)]
    install = f"pip install '{NAME}[{extra}]'" if extra else f"pip install {NAME}"
    there = ", ".join(f"{name} {version}" for name, version in versions.items() if version is not None)
    if wrong:
        needed = ", ".join(f"{name} {bounds}" for name, bounds in wrong)
        return Finding("broken", there, f"needs {needed}: {install}")
    if missing:
        return Finding("missing", there or "not installed", f"lacks {', '.join(missing)}: {install}")
    return Finding("ok", there)


def _version(name: str) -> str | None:
    """The version of an installed package, "unknown" where its metadata names none; None where there is no package."""
    try:
        found: str | None = metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
    except KeyError:
        found = None
    return found or "unknown"
