"""Writing a model as an ordinary Hugging Face folder, which vLLM and every other program loads."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from safetensors import SafetensorError

from apar.data.files import atomic_folder, give_usual_rights
from apar.errors import RunError, UserError
from apar.models.device import choose_dtype
from apar.models.load import load


def write_merged(
    model: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    adapter: str | os.PathLike[str] | None = None,
    dtype: str = "bfloat16",
) -> Path:
    """Write a model to a new folder, with its adapter merged and a GGUF file's weights turned into plain numbers.

    In it are the configuration, the weights as safetensors in `dtype`, the generation config, and the tokenizer with
    control tokens and chat template. The adapter is merged in float32. Raises UserError where the folder is there
    already, and as `load` does; RunError where it cannot be written, and then nothing is left of it.
    """
    target = Path(folder)
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise UserError(f"{target} is there already; name a new folder")
    kind = choose_dtype(dtype, torch.device("cpu"))
    loaded, tokenizer = load(model, "float32", "cpu", adapter, decodable=False)
    loaded = loaded.to(kind)
    try:
        with atomic_folder(target) as temporary:
            loaded.save_pretrained(temporary)
            tokenizer.save_pretrained(temporary)
            for file in temporary.glob("*.safetensors"):
                give_usual_rights(file)
    except (SafetensorError, ValueError) as error:
        raise RunError(f"cannot write {target}: {' '.join(str(error).split())}; nothing was left of it") from error
    return target
