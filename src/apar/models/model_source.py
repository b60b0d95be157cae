"""Finding what a user names: the folder or hub id of a model or of an adapter."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from apar import demo
from apar.errors import ModelError

DEMO = "demo"


def model_source(model: str | os.PathLike[str]) -> str:
    """The folder or hub id of a model; `demo` is the shipped one. Raises ModelError where a folder holds none."""
    return str(demo.model_folder()) if model == DEMO else _source(model, "model", "config.json")


def adapter_source(adapter: str | os.PathLike[str]) -> str:
    """The folder or hub id of an adapter. Raises ModelError where a folder holds none."""
    return _source(adapter, "adapter", "adapter_config.json")


def load_tokenizer(source: str) -> Any:
    """The tokenizer of a folder or hub id. Raises ModelError where it cannot be loaded."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"cannot load the tokenizer of {source}: {reason_of(error, source)}") from error


def _source(name: str | os.PathLike[str], what: str, needed: str) -> str:
    folder = Path(name)
    if folder.is_dir():
        if not (folder / needed).is_file():
            raise ModelError(f"the folder {folder} holds no {what}: it has no {needed}")
        return str(folder)
    # A hub id is `name` or `owner/name`; anything that looks like a place in the file system is one.
    if isinstance(name, os.PathLike) or folder.is_absolute() or folder.exists() or name.count("/") > 1:
        raise ModelError(f"there is no {what} folder {folder}")
    return name


def reason_of(error: Exception, source: str) -> str:
    """Why a source could not be read, in one line."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return reason if Path(source).is_dir() else f"there is no such folder, and from the hub: {reason}"
