"""These tests run a real llama.cpp: `make test-llama-cpp` has one. Elsewhere they are skipped unread."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path

import pytest

from apar.backends.llama_cpp.versions import installed

NEED_NO_LLAMA = {"test_options.py", "test_sampler.py"}


class _Skipped(pytest.Module):
    """A module that is not imported: its first lines may import llama.cpp."""

    def collect(self) -> list[pytest.Item]:
        pytest.skip("llama.cpp is not installed here; `make test-llama-cpp` has it", allow_module_level=True)


class _NoTorch(pytest.Module):
    """A module that holds the sampler against PyTorch's."""

    def collect(self) -> list[pytest.Item]:
        pytest.skip("PyTorch is not installed here; `make test` has it", allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    if module_path.name == "test_sampler.py":
        from importlib.util import find_spec

        return None if find_spec("torch") else _NoTorch.from_parent(parent, path=module_path)
    if installed() is not None or module_path.name in NEED_NO_LLAMA:
        return None
    return _Skipped.from_parent(parent, path=module_path)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama that often forks, as a GGUF file."""
    from tests.backends.llama_cpp.tiny import write_tiny

    return write_tiny(tmp_path_factory.mktemp("gguf") / "tiny.gguf")
