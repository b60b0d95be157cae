"""Medusa heads on disk: a folder in the form that vLLM reads, `config.json` and `model.safetensors`.

The weights are `blocks.{head}.layers.{layer}.weight` (and `.bias`, which vLLM reads with `medusa_fc_bias` only) and
`lm_heads.{head}.weight`. Heads that share the model's output layer (`original_lm_head`) need no weights of it here:
the model has them. vLLM keeps a copy of its own, which it reads as `lm_heads.0.weight`, so that layer is written
along for vLLM. Where it is missing, vLLM 0.32 would draft with whatever its memory holds, and say nothing: such a
folder names an architecture that vLLM refuses. `apar.json` says which model they were trained on, for us alone.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from apar.data.files import atomic_folder, give_usual_rights
from apar.errors import ModelError
from apar.models.adapter_files import adapter_fingerprint
from apar.models.fingerprint import check_same_base
from apar.models.heads import HeadsShape, MedusaHeads, has_bias
from apar.models.model_source import heads_source
from apar.models.side_file import BaseModel, damaged, file_of, read_side_file, write_side_file

logger = logging.getLogger(__name__)

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
FOR_VLLM, NOT_FOR_VLLM = "MedusaModel", "MedusaHeadsWithoutOutputLayer"
SHARED = "lm_heads.0.weight", "lm_head.weight"
"""By which names vLLM reads the output layer that all heads share."""


@dataclass(frozen=True, slots=True)
class HeadsInfo:
    """What heads were trained on: the base, and the `adapter_fingerprint` of the adapter on it, None without one."""

    base: BaseModel
    adapter: str | None = None


def save_heads(
    heads: MedusaHeads,
    folder: str | os.PathLike[str],
    model: Any = None,
    dtype: torch.dtype = torch.bfloat16,
    info: HeadsInfo | None = None,
) -> None:
    """Write the heads to `folder`, their weights in `dtype`, with what they were trained on; an earlier folder goes.

    With `model`, the Hugging Face model that they were trained on, the output layer that they share is written along:
    vLLM needs it, we do not. The folder is whole or as it was before; raises RunError where it cannot be written, and
    ModelError where the model's output layer has a bias, for which vLLM's form has no place.
    """
    weights = dict(heads.state_dict())
    if model is not None:
        check_fit(heads, model, str(folder))
        if heads.shape.tied:
            weights[SHARED[0]] = output_weight(model)
    whole = model is not None or not heads.shape.tied
    config = {"architectures": [FOR_VLLM if whole else NOT_FOR_VLLM], **_config(heads.shape)}
    with atomic_folder(Path(folder)) as temporary:
        path = temporary / WEIGHTS_FILE
        try:
            save_file({name: _stored(weight, dtype) for name, weight in weights.items()}, path, {"format": "pt"})
        except SafetensorError as error:
            raise OSError(None, str(error), str(path)) from error
        give_usual_rights(path)
        (temporary / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        if info is not None:
            write_side_file(temporary, asdict(info))


def load_heads(heads: str | os.PathLike[str], dtype: torch.dtype = torch.float32) -> MedusaHeads:
    """The heads of a folder or hub id, on the CPU, with or without the shared output layer.

    Raises ModelError where it holds none, and where weights are missing or have no place.
    """
    source = heads_source(heads)
    loaded = MedusaHeads(read_shape(source))
    weights = _read_weights(source)
    if loaded.shape.tied:
        weights = {name: weight for name, weight in weights.items() if name not in SHARED}
    _check_weights(source, loaded.state_dict(), weights)
    loaded.load_state_dict(weights)
    return loaded.to(dtype).eval()


def check_fit(heads: MedusaHeads, model: Any, name: str) -> None:
    """Raise ModelError, naming the heads, where they are of a model of another size."""
    vocabulary, hidden = model.get_output_embeddings().weight.shape
    shape = heads.shape
    if (shape.hidden_size, shape.vocab_size) != (hidden, vocabulary):
        raise ModelError(
            f"the heads {name} are of another model: they have {shape.hidden_size} channels and {shape.vocab_size} "
            f"tokens, the model {hidden} and {vocabulary}; give heads that were trained on this model"
        )


def read_heads_info(source: str) -> HeadsInfo | None:
    """What the heads of a folder or hub id were trained on; None for heads of others, which do not say.

    Raises ModelError where the side file is damaged.
    """
    what = f"the folder of the heads {source}"
    found = read_side_file(source, what)
    if found is None:
        return None
    try:
        adapter = found["adapter"]
        return HeadsInfo(BaseModel.of(found), None if adapter is None else str(adapter))
    except (KeyError, TypeError) as error:
        raise damaged(what, error) from error


def check_base(heads: str | os.PathLike[str], model: Any, tokenizer: Any, adapter: str | None = None) -> None:
    """Raise ModelError where the heads of a folder or hub id were trained on another base than a Hugging Face model.

    Heads that do not say what they were trained on are taken. Where the model has an `adapter` (its folder or hub id)
    that the heads were not trained with, a warning says so: they guess worse, and answers stay what they are.
    """
    source = heads_source(heads)
    info = read_heads_info(source)
    if info is None:
        return
    check_same_base(model, tokenizer, info.base, f"the heads {source} are")
    if adapter is not None and adapter_fingerprint(adapter) != info.adapter:
        trained = "without an adapter" if info.adapter is None else "with another adapter"
        logger.warning(
            "the heads %s were trained %s, not with %s: they guess worse, and answers stay the same",
            source,
            trained,
            adapter,
        )


def output_weight(model: Any) -> Tensor:
    """The output layer that heads share. Raises ModelError where it has a bias, for which vLLM has no place."""
    layer = model.get_output_embeddings()
    if has_bias(layer):
        raise ModelError(f"the output layer of {type(model).__name__} has a bias: vLLM cannot read heads that share it")
    weight: Tensor = layer.weight
    return weight


def _stored(weight: Tensor, dtype: torch.dtype) -> Tensor:
    return weight.detach().to("cpu", dtype).contiguous()


def _config(shape: HeadsShape) -> dict[str, Any]:
    """vLLM takes every key with "num" and "heads" in it for the number of heads: there is one."""
    return {
        "model_type": "medusa",
        "hidden_size": shape.hidden_size,
        "vocab_size": shape.vocab_size,
        "truncated_vocab_size": shape.vocab_size,
        "num_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "medusa_fc_bias": shape.bias,
        "original_lm_head": shape.tied,
    }


def read_shape(source: str) -> HeadsShape:
    """The sizes of the heads in a folder or hub id. Raises ModelError where it holds none in vLLM's form."""
    data = read_heads_config(source)
    path = Path(source) / CONFIG_FILE
    try:
        if data["model_type"] != "medusa":
            raise ModelError(f"{_place(source)} holds no Medusa heads but a model ({data['model_type']})")
        if data.get("truncated_vocab_size") not in (None, data["vocab_size"]):
            raise ModelError(f"the heads {source} have a truncated vocabulary, which is not supported")
        return HeadsShape(
            hidden_size=int(data["hidden_size"]),
            vocab_size=int(data["vocab_size"]),
            heads=int(data["num_heads"]),
            layers=int(data["num_hidden_layers"]),
            tied=bool(data.get("original_lm_head", False)),
            bias=bool(data.get("medusa_fc_bias", False)),
        )
    except KeyError as error:
        raise ModelError(f"{path} is no configuration of Medusa heads in vLLM's form: {error} is missing") from error
    except (ValueError, TypeError) as error:
        raise ModelError(f"{path} is no configuration of Medusa heads in vLLM's form: {error}") from error


def read_heads_config(source: str) -> dict[str, Any]:
    """The content of `config.json` in the folder or hub id of heads. Raises ModelError where there is none."""
    file = file_of(source, CONFIG_FILE)
    if file is None:
        raise ModelError(f"{_place(source)} holds no Medusa heads: it has no {CONFIG_FILE}")
    try:
        found = json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{file} is no configuration of Medusa heads in vLLM's form: {error}") from error
    if not isinstance(found, dict):
        raise ModelError(f"{file} is no configuration of Medusa heads in vLLM's form: it is no object")
    return found


def weights_path(source: str) -> Path:
    """The file with the weights of heads, downloaded from the hub if need be. Raises ModelError where there is none."""
    file = file_of(source, WEIGHTS_FILE)
    if file is None:
        raise ModelError(f"{_place(source)} has no {WEIGHTS_FILE}: save or download the heads again")
    return Path(file)


def _place(source: str) -> str:
    return f"the folder {source}" if Path(source).is_dir() else f"{source} (no folder here; from the hub)"


def _read_weights(source: str) -> dict[str, Tensor]:
    path = weights_path(source)
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"cannot read {path}: {error}; save or download the heads again") from error


def _check_weights(source: str, wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Raise ModelError for the first weight that is missing, has no place, or is of another size."""
    for name in sorted(wanted.keys() | found.keys()):
        if name not in found:
            raise ModelError(f"the heads {source} lack the weight {name}; save or download them again")
        if name not in wanted:
            raise ModelError(f"the heads {source} have a weight {name}, for which {CONFIG_FILE} has no place")
        if found[name].shape != wanted[name].shape:
            sizes = f"{tuple(found[name].shape)}, and {CONFIG_FILE} says {tuple(wanted[name].shape)}"
            raise ModelError(f"the weight {name} of the heads {source} has the shape {sizes}")
