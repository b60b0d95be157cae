"""Adapters of ours on disk: a PEFT folder, and beside it which base they are of and which tokens they add."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from apar.data.files import atomic_folder, give_usual_rights
from apar.errors import ModelError
from apar.models.side_file import BaseModel, damaged, file_of, read_side_file, write_side_file
from apar.tokens import CHILD, FORK, add_control_tokens

WEIGHTS_FILE = "adapter_model.safetensors"
_OLDER_WEIGHTS_FILE = "adapter_model.bin"
_COMPILED = "._orig_mod"
"""What torch.compile puts into the names of a module that it wraps."""


@dataclass(frozen=True, slots=True)
class AdapterInfo:
    """What the side file says: the base, and the ids of the control tokens, which are rows behind the base's."""

    base: BaseModel
    control_tokens: Mapping[str, int]


def save_adapter(
    adapted: Any,
    folder: Path,
    base_name: str,
    fingerprint: str,
    control_tokens: Mapping[str, int],
    state_dict: Mapping[str, Any] | None = None,
    card: str | None = None,
) -> None:
    """Write the adapter of a PEFT model to `folder`, its weights in bfloat16; an earlier folder goes.

    Of the embeddings only the rows of `trainable_token_indices` are written. `control_tokens` are the ids by name.
    `state_dict` is that of the whole model, where it has to be gathered from several processes, `card` the text of
    README.md. The folder is whole or as it was before; raises RunError where it cannot be written.
    """
    from peft import get_peft_model_state_dict
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with atomic_folder(folder) as temporary:
        # Without saying so, PEFT would add the whole tables of a model that got rows.
        weights = get_peft_model_state_dict(adapted, state_dict=state_dict, save_embedding_layers=False)
        try:
            halves = {key.replace(_COMPILED, ""): _half(weight) for key, weight in weights.items()}
            save_file(halves, temporary / WEIGHTS_FILE, {"format": "pt"})
        except SafetensorError as error:
            raise OSError(None, str(error), str(temporary)) from error
        give_usual_rights(temporary / WEIGHTS_FILE)
        config = copy.deepcopy(adapted.peft_config[adapted.active_adapter])
        config.base_model_name_or_path, config.inference_mode = base_name, True
        config.save_pretrained(str(temporary))
        info = AdapterInfo(BaseModel(base_name, fingerprint), dict(control_tokens))
        write_side_file(temporary, asdict(info))
        if card is not None:
            (temporary / "README.md").write_text(card, encoding="utf-8")


def _half(weight: Any) -> Any:
    import torch

    return weight.detach().to("cpu", torch.bfloat16).contiguous()


def read_info(source: str, name: str) -> AdapterInfo | None:
    """The side file of an adapter's folder or hub id; None for an adapter of others, which has none.

    Raises ModelError where the file is damaged.
    """
    what = f"the adapter {name}"
    found = read_side_file(source, what)
    if found is None:
        return None
    try:
        tokens = {str(token): int(number) for token, number in found["control_tokens"].items()}
        return AdapterInfo(BaseModel.of(found), tokens)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(what, error) from error


def adapter_fingerprint(source: str) -> str:
    """The SHA-256 of the weights of an adapter's folder or hub id. Raises ModelError where it has none."""
    path = file_of(source, WEIGHTS_FILE) or file_of(source, _OLDER_WEIGHTS_FILE)
    if path is None:
        raise ModelError(f"the adapter {source} has no {WEIGHTS_FILE}; save or download it again")
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def has_tokenizer(source: str) -> bool:
    """Whether an adapter comes with the tokenizer that it was trained with."""
    return file_of(source, "tokenizer_config.json") is not None


def add_tokens(tokenizer: Any, info: AdapterInfo, name: str) -> None:
    """Give a base's tokenizer the control tokens of an adapter, if it has any: that of a sequential twin has none.

    Raises ModelError where they get other ids there.
    """
    if not info.control_tokens:
        return
    add_control_tokens(tokenizer)
    for token in (FORK, CHILD):
        found, wanted = tokenizer.convert_tokens_to_ids(token), info.control_tokens.get(token)
        if found != wanted:
            raise ModelError(
                f"the adapter {name} does not fit the tokenizer: {token} is token {wanted} there and {found} here; "
                f"it was trained on {info.base.name}, give that model"
            )
