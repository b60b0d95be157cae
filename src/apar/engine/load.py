"""Finding and loading a model, and deciding how much memory its cache takes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from apar import demo
from apar.engine.cache import CacheShape
from apar.errors import ModelError

DEMO = "demo"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

_ROPE_BY_LENGTH = ("dynamic", "longrope")
_LAYER_TYPES = {"full_attention", "sliding_attention"}

_GPU_SHARE = 0.8
"""Of the memory that is free once the model is loaded; the rest is for what a pass computes."""

_CPU_BYTES = 2 << 30
"""Host memory is shared with everything else, and it is only touched as far as it is used."""


def load(model: str | os.PathLike[str], dtype: str, device: str) -> tuple[Any, Any]:
    """The model, on its device and ready to decode, and its tokenizer.

    `model` is a folder, a hub id, or `demo`. Raises ModelError with what is missing or does not fit.
    """
    source = _source(model)
    place = _device(device)
    try:
        config = AutoConfig.from_pretrained(source)
        check_supported(config, str(model))
        tokenizer = AutoTokenizer.from_pretrained(source)
        result: Any = AutoModelForCausalLM.from_pretrained(
            source, config=config, dtype=_dtype(dtype, place), output_loading_info=True
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        where = "" if Path(source).is_dir() else "there is no such folder, and from the hub: "
        raise ModelError(f"cannot load the model {model}: {where}{reason}") from error
    loaded, report = result
    _check_complete(report, str(model))
    return loaded.to(place).eval(), tokenizer


def _check_complete(report: dict[str, Any], name: str) -> None:
    """Raise ModelError if weights are missing from the files: Transformers would go on with random ones."""
    lacking = sorted(map(str, (*report.get("missing_keys", ()), *report.get("mismatched_keys", ()))))
    if lacking:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise ModelError(f"the files of {name} lack the weight {lacking[0]}{more}; save or download the model again")


def check_supported(config: Any, name: str) -> None:
    """Raise ModelError if a token's keys do not depend on its path alone, or attention is of an unknown kind."""
    if reason := _unsupported(config):
        raise ModelError(f"{name} ({config.model_type}) cannot be decoded in parallel threads: {reason}")


def _unsupported(config: Any) -> str | None:
    """What stands against decoding a model with paged attention; None if nothing does."""
    rope = getattr(config, "rope_parameters", None)
    if not rope or getattr(config, "kv_lora_rank", None):
        return "it is no decoder of the Llama family (rotary positions, keys and values per head)"
    if getattr(config, "use_bidirectional_attention", False):
        return "its tokens attend to later ones"
    if kinds := sorted(set(getattr(config, "layer_types", None) or ()) - _LAYER_TYPES):
        found = " and ".join(kind.replace("_", " ") for kind in kinds)
        return f"it has {found}, and only full and sliding attention are supported"
    # One set of parameters, or one for each type of layer.
    each = rope.values() if all(isinstance(value, dict) for value in rope.values()) else [rope]
    for parameters in each:
        if parameters.get("rope_type") in _ROPE_BY_LENGTH:
            return f"its {parameters['rope_type']} rotary positions depend on the longest text in a batch"
    return None


def default_num_blocks(model: Any, block_size: int, max_rows: int) -> int:
    """Blocks for the cache: what the memory allows, and never more than `max_rows` whole contexts.

    On a GPU that is 80 % of the memory that is free after loading, on the CPU 2 GiB; at least one context.
    """
    config = model.config
    free = torch.cuda.mem_get_info(model.device)[0] * _GPU_SHARE if model.device.type == "cuda" else _CPU_BYTES
    block_bytes = CacheShape.of(config).bytes_per_token(model.dtype) * block_size
    context: int = -(-config.max_position_embeddings // block_size)
    return max(context, min(int(free) // block_bytes, context * max_rows))


def _source(model: str | os.PathLike[str]) -> str:
    if model == DEMO:
        return str(demo.model_folder())
    folder = Path(model)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelError(f"the folder {folder} holds no model: it has no config.json")
        return str(folder)
    # A hub id is `name` or `owner/name`; anything that looks like a place in the file system is one.
    if isinstance(model, os.PathLike) or folder.is_absolute() or folder.exists() or model.count("/") > 1:
        raise ModelError(f"there is no model folder {folder}")
    return model


def _device(device: str) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"the device {device!r} cannot be used here: {str(error).splitlines()[0]}") from error
    return place


def _dtype(dtype: str, device: torch.device) -> torch.dtype | str:
    """`auto` is the checkpoint's on a GPU and float32 on the CPU, where smaller types are slower."""
    if dtype == "auto":
        return torch.float32 if device.type == "cpu" else "auto"
    if dtype not in DTYPES:
        raise ModelError(f"dtype is {dtype!r}; it must be auto, {', '.join(DTYPES)}")
    return DTYPES[dtype]
