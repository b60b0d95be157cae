"""What is shipped for `apar demo`: the adapter, and questions that it was not trained on."""

from __future__ import annotations

from pathlib import Path

from apar.errors import ModelError

_HERE = Path(__file__).parent
QUESTIONS = _HERE / "questions.txt"


def adapter_folder() -> Path | None:
    """The folder of the shipped adapter; None while there is none, and `model_folder` stands for it."""
    folder = _HERE / "adapter"
    return folder if (folder / "adapter_config.json").is_file() else None


def model_folder() -> Path:
    """The folder of the shipped model; raises ModelError, saying how to make it, where it is missing."""
    folder = _HERE / "model"
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"the demo model is not in {folder}: train it with `apar train recipes/demo.yaml` and name its "
            "folder with --model, or install a package that has it"
        )
    return folder
