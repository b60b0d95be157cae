"""The CPUs of a process, and how OpenMP's threads wait in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from apar import cpus
from apar.cpus import NUMBER, WAITING, available, prepare, quota

_REPORT = "import json, os, sys; print(json.dumps([dict(os.environ), 'torch' in sys.modules]))"


def reported(code: str, **chosen: str) -> tuple[dict[str, str], bool]:
    """The environment of a process of its own after some code, and whether torch is loaded there."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{_REPORT}"], env=plain() | chosen, capture_output=True, text=True, check=True
    )
    environment, loaded = json.loads(done.stdout)
    return environment, loaded


def plain() -> dict[str, str]:
    """This process's environment, in which nobody has chosen anything."""
    return {key: value for key, value in os.environ.items() if key not in {*WAITING, NUMBER, "MKL_NUM_THREADS"}}


@pytest.mark.parametrize("code", ["import apar", "import apar.cli", "import apar.bench.peers.worker"])
def test_whatever_is_imported_lets_threads_sleep_before_torch_is_there(code: str) -> None:
    environment, loaded = reported(code)
    assert {name: environment.get(name) for name in WAITING} == WAITING
    assert not loaded


def test_openmp_reads_it_when_torch_is_loaded() -> None:
    pytest.importorskip("torch")
    command = [sys.executable, "-c", "import apar, torch"]
    shown = plain() | {"OMP_DISPLAY_ENV": "verbose"}
    told = subprocess.run(command, env=shown, capture_output=True, text=True, check=True).stderr
    if "GOMP_SPINCOUNT" not in told:
        pytest.skip("torch has another OpenMP than GNU's here")
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in told
    assert "GOMP_SPINCOUNT = '0'" in told


@pytest.mark.parametrize("name", WAITING)
def test_what_the_user_chose_stays_and_nothing_is_added(name: str) -> None:
    environment = {name: "7"}
    prepare(environment)
    assert {each for each in WAITING if each in environment} == {name}
    assert environment[name] == "7"


def test_a_quota_bounds_the_threads_unless_the_user_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpus, "allowed", lambda: 8)
    monkeypatch.setattr(cpus, "quota", lambda: 2.5)
    environment: dict[str, str] = {}
    prepare(environment)
    assert environment[NUMBER] == "2"
    for name in (NUMBER, "MKL_NUM_THREADS"):
        chosen = {name: "5"}
        prepare(chosen)
        assert chosen == {name: "5", **WAITING}


def test_without_a_quota_torch_counts_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpus, "quota", lambda: None)
    environment: dict[str, str] = {}
    prepare(environment)
    assert environment == WAITING


@pytest.mark.parametrize(("limit", "count"), [(None, 4), (2.0, 2), (2.9, 2), (0.5, 1), (64.0, 4)])
def test_a_process_uses_the_cpus_that_it_may_run_on_and_its_quota(
    monkeypatch: pytest.MonkeyPatch, limit: float | None, count: int
) -> None:
    monkeypatch.setattr(cpus, "allowed", lambda: 4)
    monkeypatch.setattr(cpus, "quota", lambda: limit)
    assert available() == count


class TestQuota:
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        self.groups, self.own = tmp_path / "cgroup", tmp_path / "own"

    def write(self, name: str, text: str) -> None:
        path = self.groups / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def read(self, own: str) -> float | None:
        self.own.write_text(own)
        return quota(self.groups, self.own)

    def test_of_version_2_the_least_of_a_group_and_of_those_around_it(self) -> None:
        self.write("a/cpu.max", "150000 100000\n")
        self.write("a/b/cpu.max", "max 100000\n")
        self.write("a/b/c/cpu.max", "400000 100000\n")
        assert self.read("0::/a/b/c\n") == 1.5
        assert self.read("0::/a/b\n") == 1.5

    def test_in_a_container_the_group_is_the_mounted_folder_itself(self) -> None:
        self.write("cpu.max", "50000 100000\n")
        assert self.read("0::/\n") == 0.5
        assert self.read("0::/../../docker/1234\n") == 0.5

    def test_of_version_1(self) -> None:
        self.write("cpu,cpuacct/docker/1/cpu.cfs_quota_us", "300000\n")
        self.write("cpu,cpuacct/docker/1/cpu.cfs_period_us", "100000\n")
        assert self.read("5:memory:/docker/1\n4:cpu,cpuacct:/docker/1\n") == 3.0

    def test_without_a_limit_there_is_none(self) -> None:
        self.write("cpu,cpuacct/cpu.cfs_quota_us", "-1\n")
        self.write("cpu,cpuacct/cpu.cfs_period_us", "100000\n")
        self.write("cpu.max", "max 100000\n")
        assert self.read("4:cpu,cpuacct:/\n0::/\n") is None
        assert self.read("0::/gone\n") is None

    def test_where_there_are_no_control_groups_there_is_none(self) -> None:
        assert quota(self.groups, self.own) is None
