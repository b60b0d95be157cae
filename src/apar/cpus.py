"""The CPUs that this process may use, and how OpenMP's threads wait for each other.

The package calls `prepare` when it is imported, because OpenMP reads its variables once, when torch loads it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, MutableMapping
from pathlib import Path

WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}
"""Threads sleep while they wait: OpenMP's own variable, then those of GNU's and of LLVM's library.

A thread that spins keeps a CPU from the process that it waits for: beside one busy process on two CPUs decoding
took sixty times as long.
"""
NUMBER = "OMP_NUM_THREADS"
_CHOICES = (NUMBER, "MKL_NUM_THREADS")
_chosen = any(name in os.environ for name in _CHOICES)


def prepare(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let OpenMP's threads sleep while they wait, and be no more than a CPU quota lets run, unless the user chose.

    Holds in this process where torch is not loaded yet, and in its children.
    """
    if not any(name in environment for name in WAITING):
        environment.update(WAITING)
    if not any(name in environment for name in _CHOICES) and available() < allowed():
        environment[NUMBER] = str(available())


def threads_chosen() -> bool:
    """Whether the environment named a number of threads when the package was imported."""
    return _chosen


def available() -> int:
    """CPUs that this process may use: those it may run on, and no more than its quota is worth, rounded down."""
    limit = quota()
    return allowed() if limit is None else max(1, min(allowed(), int(limit)))


def allowed() -> int:
    """CPUs that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def quota(groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float | None:
    """How many CPUs' time the control groups of this process may use, the least of all; None without a limit.

    `groups` is where control groups of version 1 or 2 are mounted, `own` names those of this process.
    """
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    limits = [limit for line in lines for folder in _folders(groups, line) if (limit := _limit(folder)) is not None]
    return min(limits, default=None)


def _folders(groups: Path, line: str) -> Iterator[Path]:
    """The folders of a control group and of those that it is in, up to the one that is mounted."""
    _, controllers, path = line.split(":", 2)
    if controllers and "cpu" not in controllers.split(","):
        return
    mounts = [groups] if not controllers else [groups / controllers, groups / "cpu"]
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for mount in mounts:
        for count in range(len(parts), -1, -1):
            yield mount.joinpath(*parts[:count])


def _limit(folder: Path) -> float | None:
    """The limit of one control group, in CPUs."""
    try:
        if (folder / "cpu.max").is_file():
            used, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        else:
            used = (folder / "cpu.cfs_quota_us").read_text(encoding="ascii").strip()
            period = (folder / "cpu.cfs_period_us").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return None if used in ("max", "-1") else int(used) / int(period)
