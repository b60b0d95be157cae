"""Medusa heads as vLLM's engine arguments: it drafts with them, and verifies the drafts itself."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from apar.errors import UserError
from apar.models.head_files import read_shape
from apar.models.heads_for_vllm import for_vllm
from apar.models.model_source import ModelSource, plain_source

_DRAFTS = ("speculative_config", "spec_method", "spec_model", "spec_tokens")
"""vLLM's arguments that say what drafts."""


def arguments_to_draft(
    given: Mapping[str, Any], heads: str | os.PathLike[str], model: str | os.PathLike[str]
) -> dict[str, Any]:
    """Engine arguments with which vLLM drafts by the Medusa heads of a folder or hub id, as many tokens as there are.

    Heads that lack the output layer of `model`, a folder or hub id, are copied with it into the user's cache. Raises
    UserError where the arguments that are `given` name drafts of their own, ModelError where the heads are of another
    model or vLLM cannot load the model.
    """
    for name in _DRAFTS:
        if given.get(name) is not None:
            option = "--vllm." + name.replace("_", "-")
            raise UserError(f"both Medusa heads and {name} ({option}) say what drafts; give one of them")
    folder = for_vllm(heads, ModelSource(plain_source(model, "vLLM")))
    count = read_shape(str(folder)).heads
    config = {"method": "medusa", "model": str(folder), "num_speculative_tokens": count}
    return {**given, "speculative_config": config}
