"""The recipe of a training: what `apar train CONFIG.yaml` reads. Every key, its meaning, its default."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from apar.config import Section

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Start(Section):
    """What the training starts from: an existing model, or random weights of a shape with a new tokenizer."""

    model: str | None = None
    """A folder or a hub id."""
    shape: dict[str, Any] | None = None
    """Keyword arguments of `LlamaConfig`, for a model from scratch; the vocabulary size is the tokenizer's."""
    vocab_size: Positive = 8192
    """Of the tokenizer trained for a model from scratch."""

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.model is None) == (self.shape is None):
            raise ValueError("give either model (a folder or hub id) or shape (a model from scratch)")
        return self


class Mix(Section):
    """In what proportion the answers are drawn; which there are, `apar extract` has decided."""

    structured: Share | None = 0.5
    """Share of structured answers (the paper: 1:1, so that the model learns when not to fork); null: as they come."""

    # Extraction decides these: the keys of its configuration.
    renamed: ClassVar[Mapping[str, str]] = {
        "max_answers_per_prompt": "duplicates.answers_per_prompt of `apar extract`",
        "min_response_chars": "filters.min_chars of `apar extract`",
        "max_response_chars": "filters.max_chars of `apar extract`",
        "languages": "filters.languages of `apar extract`",
        "fork_rules": "structure.rules of `apar extract`",
        "skip_reasons": "filters.skip_reasons of `apar extract`",
        "skip_sources": "filters.skip_sources of `apar extract`",
        "held_out": "split.held_out of `apar extract`, and the file that it writes as `held_out` of the recipe",
    }


class Optimizer(Section):
    """Learning rate with linear warm-up, then a cosine to `final` times the peak."""

    name: Literal["adamw", "muon"] = "adamw"
    """muon: Muon for the matrices inside the layers, AdamW for the rest."""
    learning_rate: Annotated[float, Field(gt=0)] = 2e-5
    warmup: Share = 0.03
    final: Share = 0.1
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    clip_norm: Annotated[float, Field(gt=0)] = 1.0


class Recipe(Section):
    """A whole training. The defaults are the paper's where it names them (method: batch 128, 2000 steps, 2e-5)."""

    output: Path
    start: Start
    trees: tuple[Path, ...] = Field(min_length=1)
    """Files written by `apar extract`; the patterns `*` and `?` are expanded."""
    held_out: tuple[Path, ...] = ()
    """Files of answers that extraction held out (`apar extract --set split.held_out=0.01`), for the held-out loss."""
    mode: Literal["forked", "sequential"] = "forked"
    """sequential: the same answers as plain text, in the same order, without control tokens (the twin)."""
    mix: Mix = Mix()
    max_length: Positive = 2048
    """Tokens of a pack; longer samples are left out."""
    batch_tokens: Positive = 65536
    """Tokens of an optimizer step, in packs of `max_length`."""
    micro_batch_tokens: Positive | None = None
    """Tokens of one forward pass; gradients are summed up to `batch_tokens`."""
    steps: Positive = 2000
    loss_on_prompt: bool = False
    optimizer: Optimizer = Optimizer()
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    """Of the arithmetic; weights and optimizer state are float32."""
    attention: Literal["sdpa", "eager"] = "sdpa"
    """eager is faster on CPU for a small model (1.2 times at hidden size 256), sdpa takes less memory."""
    device: str = "auto"
    threads: Positive | None = None
    """CPU threads; null: torch's default."""
    seed: int = 0
    evaluate_every: Positive = 200
    evaluate_samples: Positive = 400
    checkpoint_every: Positive = 200

    @model_validator(mode="after")
    def _batches_fit(self) -> Self:
        if self.batch_tokens < self.max_length:
            raise ValueError(f"batch_tokens ({self.batch_tokens}) is less than max_length ({self.max_length})")
        return self
