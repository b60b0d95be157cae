"""Loading a model and its tokenizer; with an adapter merged, and quantised, where that is asked for."""

from __future__ import annotations

import os
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM

from apar.errors import ModelError
from apar.extras import require
from apar.models.adapters import merge_adapter
from apar.models.device import choose_device, choose_dtype
from apar.models.gguf_file import GgufFile, gguf_path, make_ordinary, read_gguf
from apar.models.memory import check_weights_fit, is_out_of_memory, memory_for_weights
from apar.models.model_source import ModelSource, check_present, load_tokenizer, model_source, reason_of
from apar.models.quantize import check_kind, quantize_model

_ROPE_BY_LENGTH = ("dynamic", "longrope")
_LAYER_TYPES = {"full_attention", "sliding_attention"}


def load(
    model: str | os.PathLike[str],
    dtype: str,
    device: str,
    adapter: str | os.PathLike[str] | None = None,
    quantize: str | None = None,
    *,
    decodable: bool = True,
) -> tuple[Any, Any]:
    """The model, on its device and ready to decode, and its tokenizer.

    `model` is a folder, a GGUF file, a hub id, or `demo` (see `model_source`); `adapter` a folder or hub id, which
    takes the place of one that comes with the model, and whose tokenizer goes before the model's. Unless `decodable`
    the model may be one that paged attention cannot decode. Raises ModelError with what is missing or does not fit,
    UserError where an extra is not installed.
    """
    check_kind(quantize)
    place = choose_device(device)
    kind = choose_dtype(dtype, place, quantize)
    check_present(model, adapter)
    source, name = model_source(model, adapter), str(model)
    with memory_for_weights(name):
        loaded = _read(source, name, kind, place, decodable)
        tokenizer = load_tokenizer(source)
        if source.adapter is not None:
            loaded = merge_adapter(loaded, tokenizer, source.adapter, str(adapter or model))
        loaded = loaded.to(place).eval()
        if quantize is not None:
            quantize_model(loaded, quantize)
    return loaded, tokenizer


def load_for_training(
    model: str | os.PathLike[str],
    dtype: torch.dtype = torch.float32,
    *,
    adapter: str | os.PathLike[str] | None = None,
    quantize: str | None = None,
) -> tuple[Any, Any]:
    """Any decoder that Transformers knows, on the CPU, and its tokenizer; raises as `load` does.

    With `quantize` "nf4" its linear layers have weights of 4 bits (bitsandbytes), for an adapter beside them.
    """
    if quantize is not None:
        return _read_in_4_bits(model, dtype)
    return load(model, str(dtype).removeprefix("torch."), "cpu", adapter, decodable=False)


def _read_in_4_bits(model: str | os.PathLike[str], dtype: torch.dtype) -> tuple[Any, Any]:
    require("qlora", "bitsandbytes")
    from transformers import BitsAndBytesConfig

    source = model_source(model)
    kind = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)  # type: ignore[no-untyped-call]
    try:
        loaded = AutoModelForCausalLM.from_pretrained(source.path, dtype=dtype, quantization_config=kind)
    except Exception as error:  # files of a model hold whatever their author wrote
        raise ModelError(f"cannot load the model {model} in 4 bits: {reason_of(error, source.path)}") from error
    return loaded, load_tokenizer(source)


def _read(source: ModelSource, name: str, dtype: torch.dtype | str, place: torch.device, decodable: bool) -> Any:
    """The model of a source, on the CPU, without its adapter."""
    file = None if source.gguf_file is None else read_gguf(gguf_path(source))
    try:
        config = AutoConfig.from_pretrained(source.path, **source.options)
        if decodable:
            check_supported(config, name)
        check_weights_fit(source, file, config, dtype, place, name)
        result: Any = AutoModelForCausalLM.from_pretrained(
            source.path, config=config, dtype=dtype, output_loading_info=True, **source.options, **_unpacked(file)
        )
    except ModelError:
        raise
    except Exception as error:  # files of a model hold whatever their author wrote
        if is_out_of_memory(error):
            raise
        raise ModelError(f"cannot load the model {name}: {reason_of(error, source.path)}{_other_file(file)}") from error
    model, report = result
    _check_complete(report, name)
    if file is not None:
        make_ordinary(model)
    return model


def _unpacked(file: GgufFile | None) -> dict[str, Any]:
    """What lets Transformers turn a GGUF file's weights into numbers, also where it could compute on packed ones."""
    config = (
        None if file is None else getattr(transformers, "GgufConfig", None)
    )  # not in older versions, which always do
    return {} if config is None else {"quantization_config": config(dequantize=True)}


def _other_file(file: GgufFile | None) -> str:
    if file is None:
        return ""
    kinds = ", ".join(file.kinds)
    return f"; Transformers reads no {file.architecture} as GGUF in {kinds}: take another file of it, or its folder"


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
