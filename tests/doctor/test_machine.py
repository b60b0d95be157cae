from __future__ import annotations

import stat
from pathlib import Path

import pytest

from apar.doctor import checks
from apar.doctor.checks import machine_checks
from apar.doctor.report import Finding
from apar.errors import RunError
from tests.doctor.conftest import Library

FACTS = {"version": "2.13.0", "device": "cpu", "cpu": "AVX512", "avx512_bf16": True, "amx_tile": False}
FACTS |= {"free": 3 << 30, "threads": 1}


def findings() -> dict[str, Finding]:
    return {check.name: check.finding for check in machine_checks()}


@pytest.fixture
def facts(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    found: dict[str, object] = dict(FACTS)
    monkeypatch.setattr(checks, "run_probe", lambda name: found)
    return found


def test_the_real_machine_is_looked_at() -> None:
    pytest.importorskip("torch")
    found = findings()
    assert list(found) == ["PyTorch", "CPUs", "device", "free memory", "C++ compiler"]
    assert [found[name].status for name in ("PyTorch", "device", "free memory")] == ["ok"] * 3
    assert found["device"].found.startswith("CPU, vectors ")


def test_the_vectors_that_the_cpu_has_are_named(facts: dict[str, object]) -> None:
    assert findings()["device"].found == "CPU, vectors AVX512, avx512_bf16; PyTorch finds no GPU"
    assert findings()["free memory"].found == "3.0 GiB on the host"


def test_a_gpu_is_named_with_its_memory(facts: dict[str, object]) -> None:
    facts.update(device="cuda", gpu="A GPU", free_gpu=5 << 30)
    assert findings()["device"].found == "GPU A GPU"
    assert findings()["free memory"].found == "5.0 GiB on the GPU, 3.0 GiB on the host"


def test_without_pytorch_there_is_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    found = findings()
    assert found["PyTorch"] == ("missing", "not installed", "pip install 'apar-llm[local]'")
    assert list(found) == ["PyTorch", "C++ compiler"]


def test_a_pytorch_that_crashes_is_a_row(library: Library) -> None:
    library("torch", "import os; os.abort()")
    found = findings()
    assert found["PyTorch"][:2] == ("broken", "it crashed (SIGABRT)")
    assert "install torch again" in found["PyTorch"].advice
    assert list(found) == ["PyTorch", "C++ compiler"]


def test_facts_of_another_form_are_broken_rows(facts: dict[str, object]) -> None:
    del facts["cpu"]
    assert findings()["device"][:2] == ("broken", "KeyError: 'cpu'")


class TestCompiler:
    @pytest.fixture(autouse=True)
    def no_torch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def ask(name: str) -> dict[str, object]:
            raise RunError("not asked for here")

        monkeypatch.setattr(checks, "run_probe", ask)

    def test_one_that_is_not_there_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CXX", "no-such-compiler")
        status, found, advice = findings()["C++ compiler"]
        assert (status, found) == ("missing", "there is no no-such-compiler")
        assert "set CXX" in advice

    def test_one_that_refuses_is_broken(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        script = tmp_path / "old-compiler"
        script.write_text("#!/bin/sh\necho 'cc: error: unrecognized option -std=c++20' >&2\nexit 1\n")
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("CXX", str(script))
        status, found, advice = findings()["C++ compiler"]
        assert (status, found) == ("broken", "cc: error: unrecognized option -std=c++20")
        assert "C++20 and OpenMP" in advice
