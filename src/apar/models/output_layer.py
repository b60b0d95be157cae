"""A model of which only the output layer and what its fingerprint is made of are read: the rest takes no memory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from apar.errors import ModelError
from apar.models.load import load
from apar.models.model_source import ModelSource
from apar.models.side_file import file_of

_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"


def load_output_layer(source: ModelSource) -> Any:
    """A Hugging Face model with its output layer and its weights of one dimension; the others are on the meta device.

    That is enough for `base_fingerprint` and for what heads share. They are read out of the safetensors files of a
    folder or hub id; where that cannot be, as of a GGUF file or with an adapter, the whole model is loaded, in
    float32 on the CPU. Raises ModelError where it cannot.
    """
    found = None if source.gguf_file is not None or source.adapter is not None else _read_partly(source)
    return found if found is not None else _load_whole(source)


def _load_whole(source: ModelSource) -> Any:
    return load(str(source), "float32", "cpu", source.adapter, decodable=False)[0]


def _read_partly(source: ModelSource) -> Any:
    """The model; None where its weights are no safetensors files, or have other names there."""
    files = _files(source)
    if files is None:
        return None
    model = _skeleton(source)
    if model is None or model.get_output_embeddings() is None:
        return None
    wanted = dict(_wanted(model))
    if any(name not in files for name in wanted):
        return None
    for name, shape in wanted.items():
        weight = _read(source, files[name], name)
        if weight.shape != shape:
            return None
        _put(model, name, weight)
    model.tie_weights()
    return model


def _skeleton(source: ModelSource) -> Any:
    """The model without weights; None where its files do not make one that is kept in plain numbers."""
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(source.path)
        if getattr(config, "quantization_config", None) is not None:
            return None
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    except Exception:  # files of a model hold whatever their author wrote: loading the whole says what
        return None


def _wanted(model: Any) -> Iterator[tuple[str, torch.Size]]:
    """The names and shapes of the weights to be read; those of a tied layer by the name that it is stored under."""
    of_head = {id(weight) for weight in model.get_output_embeddings().parameters()}
    for name, weight in model.named_parameters():
        if weight.ndim == 1 or id(weight) in of_head:
            yield name, weight.shape


def _put(model: Any, name: str, weight: torch.Tensor) -> None:
    place, _, last = name.rpartition(".")
    setattr(model.get_submodule(place), last, nn.Parameter(weight, requires_grad=False))


def _files(source: ModelSource) -> Mapping[str, str] | None:
    """In which file each weight is, by its name; None where there are no safetensors files."""
    index = file_of(source.path, _INDEX)
    try:
        if index is not None:
            named: Mapping[str, str] = json.loads(Path(index).read_text(encoding="utf-8"))["weight_map"]
            return named
        whole = file_of(source.path, _WEIGHTS)
        if whole is None:
            return None
        with safe_open(whole, "pt") as file:
            return dict.fromkeys(file.keys(), _WEIGHTS)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        return None  # loading the whole says what is wrong


def _read(source: ModelSource, file: str, name: str) -> torch.Tensor:
    """A weight out of a file; of the hub, only the files that are asked for are downloaded."""
    path = file_of(source.path, file)
    if path is None:
        raise ModelError(f"{source} has no {file}; save or download the model again")
    try:
        with safe_open(path, "pt") as opened:
            weight: torch.Tensor = opened.get_tensor(name)
            return weight
    except (OSError, SafetensorError) as error:
        raise ModelError(f"cannot read {name} in {path}: {error}; save or download the model again") from error
