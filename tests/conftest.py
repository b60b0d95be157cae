"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests import device

# A busy machine is no failure: nothing is tested by its time.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", choices=["cpu", "cuda"], default="cpu", help="where models run (default: cpu)")


def pytest_configure(config: pytest.Config) -> None:
    device.chosen = config.getoption("--device")
    if device.chosen == "cpu":
        # What chooses a device by itself is to choose the same everywhere.
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        # Triton reads this when it is imported: its kernels run in Python, on the host.
        os.environ["TRITON_INTERPRET"] = "1"
        return
    import torch

    if not torch.cuda.is_available():
        raise pytest.UsageError("--device cuda: PyTorch finds no CUDA device here")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real questions and answers that lies beside a developer's checkout; no part of the repo."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the shared data folder is not beside this checkout")
    return folder
