"""What `apar evaluate CONFIG.yaml` reads: a model, its sequential twin, and held-out prompts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from apar.config import Section
from apar.train.recipe import Positive


class Plan(Section):
    """An evaluation. Prompts and reference answers come from files of `apar extract` that no training saw."""

    model: str
    """A folder, a GGUF file, a hub id, or `demo`."""
    twin: str | None = None
    """The sequential twin, whose held-out loss the model's is compared with."""
    trees: tuple[Path, ...] = Field(min_length=1)
    prompts: Positive = 200
    """How many prompts are answered, forked and sequentially."""
    max_prompt_chars: Positive = 300
    max_tokens: Positive = 400
    max_length: Positive = 640
    """Longer samples are left out of the held-out loss and counted."""
    threads: Positive | None = None
    """CPU threads; null: torch's default."""
    seed: int = 0
    output: Path | None = None
    """Where the whole result is written as JSON, every answer's figures included."""

    renamed: ClassVar[Mapping[str, str]] = {"mix": "`apar extract` to choose answers: all of `trees` count"}
