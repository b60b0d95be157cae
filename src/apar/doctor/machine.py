"""PyTorch, the device that it finds, the memory that is free, and the compiler of the native kernels."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from apar.doctor.check import Check, Finding, examine
from apar.doctor.child import ask

_BOTH = ("local", "vllm")
_TINY = "#include <omp.h>\n#include <concepts>\nint main() { return omp_get_max_threads() < 1; }\n"
_FLAGS = ("-std=c++20", "-march=native", "-fopenmp", "-fsyntax-only", "-x", "c++")


def machine_checks() -> list[Check]:
    """PyTorch and, where it works, the device and the memory; then the compiler."""
    facts: dict[str, Any] = {}

    def torch() -> Finding:
        if importlib.util.find_spec("torch") is None:
            return Finding("missing", "not installed", "pip install 'apar-llm[local]'")
        facts.update(ask("torch"))
        return Finding("ok", f"{facts['version']} with {_count(facts['threads'], 'thread')}")

    checks = [examine("PyTorch", _BOTH, torch, "install torch again, a build for this machine")]
    if facts:
        checks.append(examine("device", (), lambda: _device(facts)))
        checks.append(examine("free memory", (), lambda: _memory(facts)))
    return [*checks, examine("C++ compiler", (), _compiler)]


def _device(facts: dict[str, Any]) -> Finding:
    if facts["device"] == "cuda":
        return Finding("ok", f"GPU {facts['gpu']}")
    known = [name for name in ("avx512_bf16", "amx_tile") if facts[name]]
    return Finding("ok", f"CPU, vectors {', '.join([facts['cpu'], *known])}; PyTorch finds no GPU")


def _memory(facts: dict[str, Any]) -> Finding:
    host = f"{_gib(facts['free'])} on the host"
    return Finding("ok", f"{_gib(facts['free_gpu'])} on the GPU, {host}" if "free_gpu" in facts else host)


def _compiler() -> Finding:
    """Whether the compiler that the engine would call takes what its kernels are written in."""
    name = os.environ.get("CXX", "c++")
    without = "without it the engine runs on PyTorch alone on the CPU, slower"
    compiler = shutil.which(name)
    if compiler is None:
        return Finding("missing", f"there is no {name}", f"install GCC or Clang, or set CXX; {without}")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "tiny.cpp"
        source.write_text(_TINY, encoding="ascii")
        done = subprocess.run([compiler, *_FLAGS, str(source)], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        error = next((line for line in done.stderr.splitlines() if "error" in line), f"{name} fails")
        return Finding("broken", error.strip(), f"install one with C++20 and OpenMP, or set CXX; {without}")
    return Finding("ok", compiler)


def _gib(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
