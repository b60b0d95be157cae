"""The vocabulary of a model that another engine runs: no weights are loaded."""

from __future__ import annotations

from typing import Any

from apar.decoding.vocabulary import Vocabulary
from apar.models.model_source import ModelSource, load_tokenizer


def load_vocabulary(source: ModelSource) -> Vocabulary:
    """That of a model. Raises ModelError where its tokenizer cannot be loaded or names no end."""
    return Vocabulary.of(load_tokenizer(source), _generation_config(source))


def _generation_config(source: ModelSource) -> Any:
    """None where the model has none, as a GGUF file."""
    from transformers import GenerationConfig

    if source.gguf_file is not None:
        return None
    try:
        return GenerationConfig.from_pretrained(source.path)
    except (OSError, ValueError):
        return None
