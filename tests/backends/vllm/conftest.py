"""These tests run a real vLLM: `make test-vllm` has one, on the CPU. Elsewhere they are skipped unread."""

from __future__ import annotations

from pathlib import Path

import pytest

from apar.backends.vllm.versions import installed

NEED_NO_VLLM = {"test_versions.py"}


class _Skipped(pytest.Module):
    """A module that is not imported: its first lines may import vLLM."""

    def collect(self) -> list[pytest.Item]:
        pytest.skip("vLLM is not installed here; `make test-vllm` has an environment with it", allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    if installed() is not None or module_path.name in NEED_NO_VLLM:
        return None
    return _Skipped.from_parent(parent, path=module_path)


def pytest_itemcollected(item: pytest.Item) -> None:
    """What vLLM and its libraries warn of is their own affair."""
    item.add_marker(pytest.mark.filterwarnings("ignore"))
