"""Medusa heads as vLLM reads them: with the output layer that they share, which we leave in the model."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from apar.data.files import cache_folder
from apar.errors import ModelError, RunError, UserError
from apar.models.head_files import (
    CONFIG_FILE,
    FOR_VLLM,
    SHARED,
    check_base,
    check_fit,
    load_heads,
    output_weight,
    read_heads_config,
    read_heads_info,
    read_shape,
    save_heads,
    weights_path,
)
from apar.models.heads import MedusaHeads
from apar.models.model_source import ModelSource, heads_source, load_tokenizer
from apar.models.output_layer import load_output_layer
from apar.models.side_file import SIDE_FILE, file_of


def for_vllm(heads: str | os.PathLike[str], model: ModelSource) -> Path:
    """A folder with the heads of a folder or hub id in the form that vLLM's `speculative_config` reads.

    It is that of the heads where they are in this form, else a copy with the model's output layer in the user's
    cache, made once for the same heads and output layer. Raises ModelError where the heads are of another model,
    RunError or UserError where the copy cannot be written.
    """
    source = heads_source(heads)
    loaded, layer = _checked(source, model)
    if is_for_vllm(source):
        return weights_path(source).parent
    folder = cache_folder() / "heads" / _fingerprint(source, layer)
    if not folder.is_dir():
        try:
            save_heads(loaded, folder, layer, info=read_heads_info(source))
        except RunError:
            if not folder.is_dir():  # another process was first
                raise
    return folder


def write_for_vllm(heads: str | os.PathLike[str], model: ModelSource, folder: str | os.PathLike[str]) -> Path:
    """Write the heads of a folder or hub id to a new folder in the form that vLLM reads, with what they share.

    Raises UserError where the folder is there already, and as `for_vllm` does.
    """
    target = Path(folder)
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise UserError(f"{target} is there already; name a new folder")
    source = heads_source(heads)
    loaded, layer = _checked(source, model)
    save_heads(loaded, target, layer, info=read_heads_info(source))
    return target


def is_for_vllm(source: str) -> bool:
    """Whether the heads of a folder or hub id can be read by vLLM as they are: no output layer is missing."""
    if FOR_VLLM not in (read_heads_config(source).get("architectures") or ()):
        return False
    if not read_shape(source).tied:
        return True
    path = weights_path(source)
    try:
        with safe_open(path, "pt") as file:
            return not set(SHARED).isdisjoint(file.keys())
    except (OSError, SafetensorError) as error:
        raise ModelError(f"cannot read {path}: {error}; save or download the heads again") from error


def _checked(source: str, model: ModelSource) -> tuple[MedusaHeads, Any]:
    """The heads, and the model as `load_output_layer` reads it; raises ModelError where they are not of it."""
    heads, loaded = load_heads(source), load_output_layer(model)
    if read_heads_info(source) is not None:
        check_base(source, loaded, load_tokenizer(model), model.adapter)
    check_fit(heads, loaded, source)
    return heads, loaded


def _fingerprint(source: str, model: Any) -> str:
    """The SHA-256 of what the copy is made of."""
    digest = hashlib.sha256()
    for name in (CONFIG_FILE, SIDE_FILE):
        path = file_of(source, name)
        digest.update(b"" if path is None else hashlib.sha256(Path(path).read_bytes()).digest())
    with weights_path(source).open("rb") as file:
        digest.update(hashlib.file_digest(file, "sha256").digest())
    if read_shape(source).tied:
        weight = output_weight(model).detach().to("cpu", torch.bfloat16).contiguous()
        digest.update(weight.view(torch.int16).numpy().data)
    return digest.hexdigest()
