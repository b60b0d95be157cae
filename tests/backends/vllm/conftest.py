"""These tests run a real vLLM: `make test-vllm` has one, on the CPU. Elsewhere they are skipped unread."""

from __future__ import annotations

from pathlib import Path

import pytest

from apar.backends.vllm.versions import installed

FOLDER = Path(__file__).parent
NEED_NO_VLLM = {"test_versions.py"}


class _Skipped(pytest.Module):
    """A module that is not imported: its first lines may import vLLM."""

    def collect(self) -> list[pytest.Item]:
        pytest.skip("vLLM is not installed here; `make test-vllm` has an environment with it", allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    if installed() is not None or module_path.name in NEED_NO_VLLM:
        return None
    return _Skipped.from_parent(parent, path=module_path)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Warnings are errors here too, but for what vLLM itself sets off."""
    for item in items:
        if item.path.is_relative_to(FOLDER):
            item.add_marker(pytest.mark.filterwarnings("ignore:.*reduce_op.*:FutureWarning"))
            # Numba's, of how vLLM hands it a list for n-gram drafts.
            item.add_marker(pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"))
