"""The environment that `make test-vllm` makes."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from apar.backends.vllm.versions import require_vllm
from apar.doctor.checks import diagnose
from apar.doctor.packages import vllm_checks
from apar.doctor.subprocess_probe import probe_vllm
from apar.errors import RunError


def test_the_vllm_that_is_found_is_the_one_that_is_imported() -> None:
    found = require_vllm()
    import vllm

    assert vllm.__version__.partition("+")[0] == found.version.partition("+")[0]


def test_the_doctor_finds_that_it_starts_and_may_be_forked_in_its_core() -> None:
    diagnosis = diagnose(backend="vllm")
    found = {check.name: check.finding.status for check in diagnosis.checks}
    assert diagnosis.failed == {}
    assert [found[name] for name in ("vLLM", "vLLM starts", "vLLM's core")] == ["ok"] * 3


def test_the_doctor_finds_why_it_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a build of torchvision for CUDA does beside PyTorch's for the CPU: it cannot be imported, and vLLM tries."""
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    path = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    monkeypatch.syspath_prepend(tmp_path)
    [start] = [check for check in vllm_checks() if check.name == "vLLM starts"]
    assert start.finding.status == "broken"
    assert start.finding.advice.startswith("pip uninstall torchvision: ")


def test_kernels_that_cannot_be_loaded_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    assert probe_vllm()["device"] == "cpu"
    monkeypatch.setattr(torch.ops, "_C", SimpleNamespace())
    with pytest.raises(RunError, match="its compiled kernels cannot be loaded with PyTorch 2"):
        probe_vllm()
