"""What a benchmark ran on, and how fast its memory can be read."""

from __future__ import annotations

import os
import platform
import shlex
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_PACKAGES = ("torch", "transformers", "llama-cpp-python")

_READ_BYTES = 1 << 30
"""Far more than any cache holds."""


def environment_facts() -> dict[str, Any]:
    """Processor, cores that may be used, threads, versions and the load that others put on the machine."""
    facts: dict[str, Any] = {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        **_versions(),
        "load_before": round(os.getloadavg()[0], 2),
    }
    if find_spec("torch") is not None:
        import torch

        facts["threads"] = torch.get_num_threads()
        if torch.cuda.is_available():
            facts["gpu"] = torch.cuda.get_device_name()
    return facts


def _versions() -> dict[str, str]:
    """Those of the libraries that compute, as far as they are installed."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def command_line() -> str:
    """The command that is running, as it can be typed again."""
    return shlex.join(["apar", *sys.argv[1:]])


class Bandwidth:
    """How many bytes of memory can be read in a second, by all threads.

    A large tensor is reduced, which costs little beyond reading it; the fastest of all reads counts.
    """

    def __init__(self, device: torch.device) -> None:
        import torch

        self._reads = (torch.sum, torch.amax)
        self._tensor = torch.ones(_READ_BYTES // 4, device=device)
        self.best = 0.0

    def measure(self) -> None:
        """Read the tensor once in each way."""
        for read in self._reads:
            self.best = max(self.best, _READ_BYTES / _seconds(read, self._tensor))


def _seconds(read: Callable[..., Tensor], tensor: Tensor) -> float:
    began = time.perf_counter()
    read(tensor).item()
    return time.perf_counter() - began


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
