"""What the doctor says of the CPUs."""

from __future__ import annotations

import pytest

from apar.cpus import WAITING
from apar.doctor.cpus import cpu_finding


def test_idle_cpus_and_threads_that_sleep_are_in_order() -> None:
    assert cpu_finding(2, 2, None, WAITING, 0.1) == ("ok", "2 CPUs, load 0.1", "")
    assert cpu_finding(2, 2, 2.5, WAITING, 1.4) == ("ok", "2 CPUs, a quota of 2.5, load 1.4", "")
    assert cpu_finding(1, 1, None, {}, 0.0).found == "1 CPU, load 0.0"


@pytest.mark.parametrize(
    ("chosen", "named"),
    [
        ({"OMP_WAIT_POLICY": "active"}, "OMP_WAIT_POLICY=ACTIVE"),
        ({"GOMP_SPINCOUNT": "300000"}, "GOMP_SPINCOUNT=300000"),
        ({"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "infinite"}, "GOMP_SPINCOUNT=infinite"),
    ],
)
def test_threads_that_spin_are_warned_of(chosen: dict[str, str], named: str) -> None:
    status, _, advice = cpu_finding(2, 2, None, chosen, 0.0)
    assert status == "missing"
    assert advice.startswith(f"unset {named}: threads that spin")


def test_more_threads_than_cpus_are_warned_of() -> None:
    status, found, advice = cpu_finding(8, 2, 2.0, WAITING, 0.0)
    assert (status, found) == ("missing", "2 CPUs, a quota of 2, load 0.0")
    assert advice == "PyTorch has 8 threads: give --cpu-threads 2, or set OMP_NUM_THREADS=2"


def test_other_processes_at_work_are_warned_of() -> None:
    status, _, advice = cpu_finding(2, 2, None, WAITING, 1.5)
    assert status == "missing"
    assert advice.startswith("other processes keep the CPUs busy")
