"""The model that is measured: a trained one, or random weights of a shape."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from apar.bench.replay import choose_control
from apar.bench.shapes import random_model
from apar.data.token_counter import load_codec
from apar.decoding.detokenize import Decode
from apar.decoding.vocabulary import Vocabulary
from apar.engine.cache import CacheShape
from apar.engine.cache_budget import CacheBudget, memory_for_cache
from apar.engine.drafts.setup import DraftSetup
from apar.engine.engine import Engine
from apar.errors import UserError
from apar.models.device import choose_device, choose_dtype
from apar.models.load import load
from apar.models.memory import memory_for_weights
from apar.models.model_source import DEMO, ModelSource, load_tokenizer, model_source
from apar.scheduling.blocks import BlockPool
from apar.tokens import ControlTokens, TextCodec


@dataclass(frozen=True, slots=True)
class BenchModel:
    """A model with its codec; `tokenizer` is its own, None for random weights."""

    name: str
    model: Any
    codec: TextCodec
    tokenizer: Any | None

    def control_tokens(self, used: Iterable[int]) -> ControlTokens:
        """The model's control tokens and end-of-sequence, or in place of those that it lacks ids not `used`.

        Raises UserError where the vocabulary has no ids left.
        """
        taken = set(used)
        vocabulary = int(self.model.config.vocab_size)
        if taken and max(taken) >= vocabulary:
            raise UserError(
                f"the tokenizer {self.codec.name} has more ids than {self.name}, which has {vocabulary}: "
                "name a smaller one by --tokenizer"
            )
        own = None if self.tokenizer is None else Vocabulary.of(self.tokenizer)
        eos = frozenset[int]() if own is None else own.eos
        return choose_control(None if own is None else own.control, eos, taken, vocabulary)

    def engine(
        self, control: ControlTokens, num_blocks: int | None, max_rows: int, drafts: DraftSetup | None = None
    ) -> Engine:
        """An engine of the model, which from then on is of no other use."""
        budget = CacheBudget(num_blocks=num_blocks, max_rows=max_rows)
        return self._engine(self.codec.decode, control.eos, control, budget, drafts)

    def plain_engine(self, max_rows: int) -> Engine:
        """An engine without control tokens, end-of-sequence and text: it decodes ids up to the budget."""
        return self._engine(lambda ids: "", frozenset(), None, CacheBudget(max_rows=max_rows))

    def _engine(
        self,
        decode: Decode,
        eos: frozenset[int],
        control: ControlTokens | None,
        budget: CacheBudget,
        drafts: DraftSetup | None = None,
    ) -> Engine:
        blocks = budget.blocks_for(self.model)
        with memory_for_cache(blocks, budget.block_size):
            pool = BlockPool(blocks, budget.block_size)
            return Engine(self.model, decode, eos, control, pool, budget.max_rows, drafts=drafts)

    def release(self) -> None:
        """Let the weights go. The model, which only has its configuration then, is of no other use."""
        self.model.to("meta")

    def facts(self) -> dict[str, Any]:
        """What the model is, for the report."""
        config = self.model.config
        return {
            "name": self.name,
            "family": config.model_type,
            "parameters": sum(parameter.numel() for parameter in self.model.parameters()),
            "layers": config.num_hidden_layers,
            "vocabulary": config.vocab_size,
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "device": str(self.model.device),
            "tokenizer": self.codec.name,
        }


def load_bench_model(
    model: str | None, shape: str | None, dtype: str, device: str, tokenizer: Path | None = None
) -> BenchModel:
    """The model of a folder, hub id or `demo`, or random weights of a shape.

    `dtype` and `device` may be `auto`. Raises UserError unless one of the two is given, and ModelError as
    loading does.
    """
    if (model is None) == (shape is None):
        raise UserError("give a model or --shape, one of the two")
    if shape is not None:
        place = choose_device(device)
        kind = choose_dtype(dtype, place)
        # Random weights have no type of their own, which `auto` would be on a GPU.
        with memory_for_weights(shape):
            model_of_shape = random_model(shape, kind if isinstance(kind, torch.dtype) else torch.bfloat16, place)
        return BenchModel(shape, model_of_shape, codec_for_shape(tokenizer), None)
    if tokenizer is not None:
        raise UserError("--tokenizer is for --shape: a model has a tokenizer of its own")
    loaded, own = load(str(model), dtype, device)
    return BenchModel(str(model), loaded, TextCodec.of(own, f"that of {model}"), own)


def codec_for_shape(path: Path | None) -> TextCodec:
    """The codec of a model folder or GGUF file, a `tokenizer.json` or a SentencePiece `.model`; None is that of `demo`.

    Only the last two lack a chat template. Raises UserError where there is no tokenizer or it cannot be read. That of
    `demo` is loaded when it is first used, and raises ModelError then: many measurements need none.
    """
    if path is None:
        return _codec_of_demo()
    if path.is_dir() or path.suffix == ".gguf":
        source = ModelSource(str(path)) if (path / "tokenizer_config.json").is_file() else model_source(path)
        return TextCodec.of(load_tokenizer(source), str(path))
    return load_codec(path)


def _codec_of_demo() -> TextCodec:
    name = f"that of {DEMO}"

    @cache
    def codec() -> TextCodec:
        return TextCodec.of(load_tokenizer(model_source(DEMO)), name)

    return TextCodec(
        name,
        lambda text: codec().encode(text),
        lambda ids: codec().decode(ids),
        lambda messages: codec().encode_prompt(messages),
    )


def weight_bytes(model: nn.Module) -> int:
    """Bytes of weights that a decoding step reads: all, but of an input table of its own only a few rows."""
    own_table = getattr(getattr(model, "config", None), "tie_word_embeddings", False) is False
    table = model.get_input_embeddings().weight if own_table else None  # type: ignore[operator]
    return sum(weight.numel() * weight.element_size() for weight in model.parameters() if weight is not table)


def kv_bytes_per_token(model: Any) -> int:
    """Bytes of keys and values of a token."""
    return CacheShape.of(model.config).bytes_per_token(model.dtype)


def model_folder_of(bench_model: BenchModel, name: str | None, scratch: Path) -> Path:
    """A folder that others can load the model from: its own, or one in `scratch`. Call it before `engine`."""
    if name is not None and (Path(name) / "config.json").is_file():
        return Path(name)
    bench_model.model.save_pretrained(scratch)
    return scratch
