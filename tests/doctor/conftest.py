"""Libraries that are broken in many ways: real files, imported by a real process."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

Library = Callable[[str, str], None]


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Library:
    """Put a module of that name and source before all others, here and in the processes that are started."""
    path = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *([path] if path else [])]))
    monkeypatch.syspath_prepend(tmp_path)

    def write(name: str, source: str) -> None:
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")

    return write
