"""What a benchmark ran on, and how fast its memory can be read."""

from __future__ import annotations

import os
import platform
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

_READ_BYTES = 1 << 30
"""Far more than any cache holds."""


def environment_facts() -> dict[str, Any]:
    """Processor, cores that may be used, threads, versions and the load that others put on the machine."""
    facts: dict[str, Any] = {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "load_before": round(os.getloadavg()[0], 2),
    }
    if torch.cuda.is_available():
        facts["gpu"] = torch.cuda.get_device_name()
    return facts


def command_line() -> str:
    """The command that is running, as it can be typed again."""
    return shlex.join(["apar", *sys.argv[1:]])


class Bandwidth:
    """How many bytes of memory can be read in a second, by all threads.

    A large tensor is reduced, which costs little beyond reading it; the fastest of all reads counts.
    """

    def __init__(self, device: torch.device) -> None:
        self._tensor = torch.ones(_READ_BYTES // 4, device=device)
        self.best = 0.0

    def measure(self) -> None:
        """Read the tensor once in each way."""
        for read in (torch.sum, torch.amax):
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
