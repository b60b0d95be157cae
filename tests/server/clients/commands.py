"""Commands of other projects, run as their users run them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

_SECONDS = 300.0
_OURS = ("APAR_", "OPENAI_", "LLM_", "HF_", "PYTHONPATH")


def run_command(
    name: str, *words: str, environment: Mapping[str, str], folder: Path, given: str = "", seconds: float = _SECONDS
) -> subprocess.CompletedProcess[str]:
    """Run a command of this environment in a folder, with `given` on its standard input; skips where there is none.

    What the tests' own environment says to these programs is left out: they see what `environment` says.
    """
    command = Path(sys.executable).parent / name
    if not command.exists():
        pytest.skip(f"{name} is not installed")
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(_OURS)}
    return subprocess.run(
        [str(command), *words],
        input=given,
        capture_output=True,
        text=True,
        timeout=seconds,
        env={**inherited, **environment},
        cwd=folder,
        check=False,
    )
