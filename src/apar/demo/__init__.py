"""What is shipped for `apar demo`: the model, and questions that it was not trained on."""

from __future__ import annotations

from pathlib import Path

from apar.errors import ModelError

_HERE = Path(__file__).parent
QUESTIONS = _HERE / "questions.txt"


def model_folder() -> Path:
    """The folder of the shipped model; raises ModelError, saying how to make it, where it is missing."""
    folder = _HERE / "model"
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"the demo model is not in {folder}: train it with `apar train recipes/demo.yaml` and name its "
            "folder with --model, or install a package that has it"
        )
    return folder
