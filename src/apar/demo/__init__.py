"""What is shipped for `apar demo`: the adapter, and questions that it was not trained on."""

from __future__ import annotations

from pathlib import Path

from apar.errors import ModelError

_HERE = Path(__file__).parent
QUESTIONS = _HERE / "questions.txt"


def adapter_folder() -> Path:
    """The folder of the shipped adapter; raises ModelError, saying how to make one, where the package lacks it."""
    folder = _HERE / "adapter"
    if not (folder / "adapter_config.json").is_file():
        raise ModelError(
            f"the adapter of demo is not in {folder}: install a package that has it, or train one with "
            "`apar train recipes/smollm2.yaml` and name its folder with --adapter"
        )
    return folder


def heads_folder() -> Path | None:
    """The folder of the Medusa heads of the shipped model; None where the package has none."""
    folder = _HERE / "heads"
    return folder if (folder / "config.json").is_file() else None
