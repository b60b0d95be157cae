"""What a training starts from: an existing chat model, or random weights and a tokenizer of our own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from apar.errors import ConfigError, ModelError
from apar.models.adapter_files import adapter_fingerprint
from apar.models.load import load_for_training
from apar.models.model_source import model_source
from apar.tokens import CHILD, FORK, add_control_tokens
from apar.train.answers import Answers
from apar.train.recipe import Recipe


@dataclass(frozen=True, slots=True)
class InitialModel:
    """A causal language model and its tokenizer."""

    model: Any
    tokenizer: Any


def prepare(recipe: Recipe, answers: Answers, dtype: torch.dtype = torch.float32) -> InitialModel:
    """Load or make the model, on the CPU; for forked training, see that it has control tokens.

    `dtype` is that of the weights.
    """
    torch.manual_seed(recipe.seed)
    initial = _from_scratch(recipe, answers) if recipe.start.model is None else _from_model(recipe, dtype)
    if recipe.mode == "forked":
        if recipe.kind == "heads" and FORK not in initial.tokenizer.get_added_vocab():
            raise ConfigError(
                f"{recipe.start.model} was not taught to fork, and heads are trained on the model as it is; give "
                "start.adapter, or mode: sequential"
            )
        add_control_rows(initial.model, initial.tokenizer)
    return initial


def merged_adapter(recipe: Recipe) -> str | None:
    """The fingerprint of the adapter that the training starts with; None where there is none."""
    if recipe.start.model is None:
        return None
    adapter = model_source(recipe.start.model, recipe.start.adapter).adapter
    return None if adapter is None else adapter_fingerprint(adapter)


def _from_model(recipe: Recipe, dtype: torch.dtype) -> InitialModel:
    start = recipe.start
    assert start.model is not None
    quantize = recipe.lora.quantize if recipe.lora is not None else None
    model, tokenizer = load_for_training(start.model, dtype, adapter=start.adapter, quantize=quantize)
    if tokenizer.chat_template is None:
        raise ModelError(
            f"the tokenizer of {start.model} has no chat template; train from a chat model, or set chat_template in "
            "its tokenizer_config.json"
        )
    longest = getattr(model.config, "max_position_embeddings", None)
    if longest is not None and recipe.max_length > longest:
        raise ConfigError(
            f"max_length ({recipe.max_length}) is more than the {longest} tokens that {start.model} can read; lower it"
        )
    return InitialModel(model, tokenizer)


def _from_scratch(recipe: Recipe, answers: Answers) -> InitialModel:
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = answers.tokenizer()
    try:
        config = LlamaConfig(
            vocab_size=len(tokenizer),
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            **(recipe.start.shape or {}),
        )
        model = LlamaForCausalLM(config)  # type: ignore[no-untyped-call]
    except (TypeError, ValueError) as error:
        raise ConfigError(f"start.shape does not make a Llama model: {error}") from error
    return InitialModel(model, tokenizer)


def add_control_rows(model: Any, tokenizer: Any) -> None:
    """Give `[Fork]` and `[Child]` a row in the embeddings, started at the mean of all rows.

    The mean makes the new tokens improbable but possible before training. Rows are added only where the
    model has none to spare.
    """
    if not add_control_tokens(tokenizer):
        return
    ids = tokenizer.convert_tokens_to_ids([FORK, CHILD])
    if tokenizer.convert_ids_to_tokens(ids) != [FORK, CHILD]:
        raise ModelError(f"the tokenizer of {model.config._name_or_path} splits {FORK} and {CHILD}; it is unusable")
    if len(tokenizer) > model.get_input_embeddings().weight.shape[0]:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    for layer in {model.get_input_embeddings(), model.get_output_embeddings()}:
        with torch.no_grad():
            others = torch.ones(layer.weight.shape[0], dtype=torch.bool)
            others[ids] = False
            layer.weight[ids] = layer.weight[others].float().mean(0).to(layer.weight.dtype)
