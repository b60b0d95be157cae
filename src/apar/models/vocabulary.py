"""The vocabulary of a model that another engine runs: no weights are loaded."""

from __future__ import annotations

from typing import Any

from apar.decoding.vocabulary import Vocabulary
from apar.models.model_source import load_tokenizer


def load_vocabulary(source: str) -> Vocabulary:
    """That of a folder or hub id. Raises ModelError where its tokenizer cannot be loaded or names no end."""
    return Vocabulary.of(load_tokenizer(source), _generation_config(source))


def _generation_config(source: str) -> Any:
    """None where the model has none."""
    from transformers import GenerationConfig

    try:
        return GenerationConfig.from_pretrained(source)
    except (OSError, ValueError):
        return None
