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
    """A folder, a GGUF file, or a hub id."""
    adapter: str | None = None
    """An adapter that `apar train` wrote, merged into the model first; for heads on a model that was taught to fork."""
    shape: dict[str, Any] | None = None
    """Keyword arguments of `LlamaConfig`, for a model from scratch; the vocabulary size is the tokenizer's."""
    vocab_size: Positive = 8192
    """Of the tokenizer trained for a model from scratch."""

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.model is None) == (self.shape is None):
            raise ValueError("give either model (a folder, a GGUF file or a hub id) or shape (a model from scratch)")
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


class Lora(Section):
    """A low-rank adapter (PEFT) in the place of new weights for the whole model, and the rows of the control tokens.

    Only these are trained and saved; the rows are parameters of their own, also where embeddings and output are tied.
    """

    rank: Positive = 16
    alpha: Positive = 32
    dropout: Share = 0.0
    modules: tuple[str, ...] | Literal["all-linear"] = "all-linear"
    """Which layers get one, by the end of their names."""
    quantize: Literal["nf4"] | None = None
    """nf4: keep the model's own weights in 4 bits (QLoRA); needs bitsandbytes."""


class HeadsConfig(Section):
    """Medusa heads on a frozen model (the paper: 2 heads of 2 residual layers)."""

    heads: Positive = 2
    layers: Positive = 2
    tied: bool = True
    """Share the model's output layer; false: each head has one of its own, which begins as a copy."""
    decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """The weight of head k's loss is this to the power of k (Medusa: 0.8)."""
    start: str | None = None
    """A folder of heads to go on from, of the same shape; null: new ones."""


class Optimizer(Section):
    """Learning rate with linear warm-up, then down to `final` times the peak."""

    name: str = "adamw_torch"
    """One of Transformers' optimizers (`optim` of its TrainingArguments)."""
    learning_rate: Annotated[float, Field(gt=0)] = 2e-5
    control_rate: Annotated[float, Field(gt=0)] = 4.0
    """The learning rate of the control tokens' rows, times the others', where they are parameters of their own."""
    schedule: Literal["cosine", "stable"] = "cosine"
    """stable: at the peak until the last `decay` of the steps, so that a training can be made longer."""
    warmup: Share = 0.03
    decay: Share = 0.2
    final: Share = 0.1
    betas: tuple[Share, Share] = (0.9, 0.95)
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    clip_norm: Annotated[float, Field(gt=0)] = 1.0


class Recipe(Section):
    """A whole training. The defaults are the paper's where it names them (method: batch 128, 2000 steps, 2e-5)."""

    output: Path
    kind: Literal["sft", "heads"] = "sft"
    """sft: teach the model itself; heads: train Medusa heads on it."""
    start: Start
    trees: tuple[Path, ...] = Field(min_length=1)
    """Files written by `apar extract`; the patterns `*` and `?` are expanded."""
    held_out: tuple[Path, ...] = ()
    """Files of answers that extraction held out (`apar extract --set split.held_out=0.01`), for the held-out loss."""
    mode: Literal["forked", "sequential"] = "forked"
    """sequential: the same answers as plain text, in the same order, without control tokens (the twin)."""
    lora: Lora | None = None
    """null: all weights are trained."""
    heads: HeadsConfig = HeadsConfig()
    merge: bool = False
    """With `lora`: also write the whole model with the adapter in its weights, which every engine loads."""
    mix: Mix = Mix()
    max_length: Positive = 2048
    """Tokens of a pack; longer samples are left out and counted."""
    batch_tokens: Positive = 65536
    """Tokens of an optimizer step on all devices, in packs of `max_length`."""
    micro_batch_tokens: Positive | None = None
    """Tokens of one forward pass on one device; gradients are summed up to `batch_tokens`."""
    steps: Positive = 2000
    loss_on_prompt: bool = False
    optimizer: Optimizer = Optimizer()
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the arithmetic; what is trained is kept in float32. auto: bfloat16 on a GPU, on a CPU the one that a short
    measurement finds faster."""
    attention: Literal["auto", "sdpa", "eager", "flex_attention"] = "auto"
    """auto: flex_attention on a GPU, sdpa on a CPU."""
    compile: bool | None = None
    """Compile each layer (torch.compile): half a minute, then about twice as fast on a CPU. null: where there is a
    compiler and the training is longer than a few steps."""
    gradient_checkpointing: bool = False
    """Compute the layers' inner states again for the gradients: less memory, a third more time."""
    device: str = "auto"
    threads: Positive | None = None
    """CPU threads; null: torch's default."""
    seed: int = 0
    evaluate_every: Positive = 200
    evaluate_samples: Positive = 400
    sample_answers: Annotated[int, Field(ge=0)] = 4
    """How many held-out prompts are answered at each evaluation, as trees in OUTPUT/answers."""
    checkpoint_every: Positive = 200
    keep_checkpoints: Annotated[int, Field(ge=2)] = 2
    keep_best: bool = True
    """The result is the checkpoint of the least held-out loss, not the last; evaluation and checkpoints go together."""
    stop_after: Positive | None = None
    """End early when so many evaluations in a row did not lower the held-out loss."""
    report_to: tuple[str, ...] = ("tensorboard",)
    """Where Transformers reports to besides OUTPUT/log.jsonl: tensorboard, wandb, mlflow, ..."""

    renamed: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="after")
    def _batches_fit(self) -> Self:
        if self.batch_tokens < self.max_length:
            raise ValueError(f"batch_tokens ({self.batch_tokens}) is less than max_length ({self.max_length})")
        if self.keep_best and self.held_out and self.checkpoint_every != self.evaluate_every:
            raise ValueError(
                f"keep_best needs a held-out loss at every checkpoint, and no other: make checkpoint_every "
                f"({self.checkpoint_every}) and evaluate_every ({self.evaluate_every}) equal, or set keep_best to false"
            )
        return self

    @model_validator(mode="after")
    def _kinds_fit(self) -> Self:
        if self.kind == "heads" and self.lora is not None:
            raise ValueError("heads are trained on a frozen model: leave lora out, and give start.adapter")
        if self.kind == "heads" and self.gradient_checkpointing:
            raise ValueError("heads need no gradient_checkpointing: the model under them has no gradients")
        if self.lora is not None and self.start.adapter is not None:
            raise ValueError(
                "an adapter on top of start.adapter would fit neither model: write the merged model by `apar merge`, "
                "and start from its folder"
            )
        if self.merge and self.lora is not None and self.lora.quantize is not None:
            raise ValueError(
                "weights of 4 bits are not merged: leave merge out, and use `apar merge MODEL --adapter OUTPUT/adapter`"
            )
        return self

    @property
    def packs_per_step(self) -> int:
        return self.batch_tokens // self.max_length

    @property
    def packs_per_pass(self) -> int:
        """Packs in one forward pass on one device."""
        return max(1, min(self.micro_batch_tokens or self.batch_tokens, self.batch_tokens) // self.max_length)
