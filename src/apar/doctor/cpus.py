"""What the doctor says of the CPUs: how many, by how many threads they are used, and what makes decoding slow."""

from __future__ import annotations

from collections.abc import Mapping

from apar.doctor.report import Finding
from apar.sizes import counted

_BUSY = 0.75
"""Load for each CPU from which others are at work here."""


def cpu_finding(threads: int, cpus: int, quota: float | None, environment: Mapping[str, str], load: float) -> Finding:
    """`threads` are PyTorch's, `cpus` those that this process may use, `load` the processes that ran of late."""
    limit = "" if quota is None else f", a quota of {quota:g}"
    found = f"{counted(cpus, 'CPU')}{limit}, load {load:.1f}"
    advice = _advice(threads, cpus, environment, load)
    return Finding("missing" if advice else "ok", found, advice)


def _advice(threads: int, cpus: int, environment: Mapping[str, str], load: float) -> str:
    if spins := _spinning(environment):
        return f"unset {spins}: threads that spin make decoding many times slower beside one busy process"
    if threads > cpus:
        return f"PyTorch has {counted(threads, 'thread')}: give --cpu-threads {cpus}, or set OMP_NUM_THREADS={cpus}"
    if load >= _BUSY * cpus:
        return "other processes keep the CPUs busy, and decoding waits for them; --cpu-threads 1 waits the least"
    return ""


def _spinning(environment: Mapping[str, str]) -> str:
    """The variable by which threads spin while they wait; empty where they sleep."""
    policy = environment.get("OMP_WAIT_POLICY", "").strip().upper()
    if policy == "ACTIVE":
        return "OMP_WAIT_POLICY=ACTIVE"
    spins = environment.get("GOMP_SPINCOUNT", "0" if policy == "PASSIVE" else "").strip()
    return "" if spins == "0" or not spins else f"GOMP_SPINCOUNT={spins}"
