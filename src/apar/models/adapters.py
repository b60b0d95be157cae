"""Adapters (LoRA and its kin): merged into a model when it is loaded, so that decoding costs nothing more."""

from __future__ import annotations

import warnings
from typing import Any

from apar.errors import ModelError
from apar.extras import require
from apar.models.adapter_files import AdapterInfo, read_info
from apar.models.fingerprint import check_same_base
from apar.models.model_source import reason_of

_DELTA = ".token_adapter.trainable_tokens_delta"


def merge_adapter(model: Any, tokenizer: Any, source: str, name: str) -> Any:
    """The Hugging Face model with the adapter of a folder or hub id added to its weights.

    Rows that the adapter's training added to the vocabulary, as those of the control tokens, are added. Raises
    ModelError where the adapter cannot be read, is of another base, does not fit the model, or is of a kind that is
    not merged, and UserError where peft is not installed. The tokenizer has the adapter's tokens already.
    """
    require("adapters", "peft")
    info = read_info(source, name)
    if info is not None:
        check_same_base(model, tokenizer, info.base, f"the adapter {name} is")
    from peft import PeftConfig, PeftModel
    from peft.utils import load_peft_weights

    try:
        config = PeftConfig.from_pretrained(source)
        weights = load_peft_weights(source, device="cpu")
    except Exception as error:  # peft, the hub and the files raise whatever they like
        raise ModelError(f"cannot load the adapter {name}: {reason_of(error, source)}") from error
    if config.is_prompt_learning:
        raise ModelError(
            f"the adapter {name} ({config.peft_type}) adds to the prompt and cannot be merged; give a LoRA"
        )
    _add_rows(model, weights)
    if info is not None and info.control_tokens:
        _add_control_rows(model, info, weights, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of weights that are missing: that is an error, below
            adapted = PeftModel.from_pretrained(model, source, config=config)
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise ModelError(_misfit(name, str(error))) from error
    _check_all_used(adapted, weights, name)
    merged = adapted.merge_and_unload(safe_merge=True)
    head = merged.get_output_embeddings()
    # peft's copy of an output layer that is tied to the embeddings names its sizes the wrong way round.
    head.out_features, head.in_features = head.weight.shape
    return merged


def _add_control_rows(model: Any, info: AdapterInfo, weights: dict[str, Any], name: str) -> None:
    """Give the model rows for the control tokens; the adapter has what is in them, in either table."""
    head = model.get_output_embeddings()
    tied = head is None or head.weight is model.get_input_embeddings().weight
    trained = sum(key.endswith(_DELTA) for key in weights) + sum(map(_is_table, weights))
    if trained < (1 if tied else 2):
        table = "embeddings" if trained == 0 else "embeddings or the output layer, which are not tied"
        raise ModelError(f"the adapter {name} lacks rows of its control tokens in the {table}; train it again")
    rows = max(info.control_tokens.values()) + 1
    if rows > model.get_input_embeddings().weight.shape[0]:
        model.resize_token_embeddings(rows, mean_resizing=False)


def _add_rows(model: Any, weights: dict[str, Any]) -> None:
    """Give the model as many tokens as the adapter's own tables have."""
    tables = [tensor for key, tensor in weights.items() if _is_table(key)]
    rows = max((table.shape[0] for table in tables), default=0)
    if rows > model.get_input_embeddings().weight.shape[0]:
        model.resize_token_embeddings(rows, mean_resizing=False)


def _is_table(key: str) -> bool:
    """Whether a weight is a whole table with a row for each token, as the Llama family names them."""
    return ("embed_tokens." in key or "lm_head." in key) and key.endswith(".weight") and "lora_" not in key


def _check_all_used(adapted: Any, weights: dict[str, Any], name: str) -> None:
    """Raise ModelError if the adapter has weights for layers that the model lacks, or the other way round.

    peft leaves out the one and warns of the other.
    """
    from peft import get_peft_model_state_dict

    known = get_peft_model_state_dict(adapted, save_embedding_layers=False).keys()
    lacking = sorted(known - weights.keys())
    unknown = sorted(key for key in weights.keys() - known if not _is_table(key))
    if lacking or unknown:
        reason = f"it lacks {lacking[0]}" if lacking else f"the model has no place for {unknown[0]}"
        raise ModelError(_misfit(name, reason))


def _misfit(name: str, reason: str) -> str:
    lines = [line.strip() for line in reason.splitlines() if line.strip()]
    # The first line of PyTorch's message names only the class.
    told = next((line for line in lines if "size mismatch" in line), lines[0] if lines else "")
    return f"the adapter {name} does not fit the model ({told}); give the model that it was trained on"
