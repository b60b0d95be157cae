"""What a training starts from: an existing chat model, or random weights and a tokenizer of our own."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from apar.data.files import atomic_folder
from apar.data.records import Example
from apar.errors import ConfigError, ModelError, RunError
from apar.tokens import CHILD, FORK, add_control_tokens
from apar.train.recipe import Recipe
from apar.train.tokenizer import train_tokenizer


@dataclass(frozen=True, slots=True)
class InitialModel:
    """A causal language model in float32 and its tokenizer."""

    model: Any
    tokenizer: Any

    def save(self, folder: Path) -> None:
        """Write model and tokenizer as Hugging Face files; weights in bfloat16, which halves the files.

        The folder is whole or as it was before. Raises RunError where it cannot be written.
        """
        half = copy.deepcopy(self.model).to(torch.bfloat16)
        try:
            with atomic_folder(folder) as temporary:
                half.save_pretrained(temporary)
                self.tokenizer.save_pretrained(temporary)
        except SafetensorError as error:
            raise RunError(f"cannot write {folder}: {error}; go on with --resume") from error


def prepare(recipe: Recipe, examples: Sequence[Example]) -> InitialModel:
    """Load or make the model; for forked training, see that it has control tokens."""
    torch.manual_seed(recipe.seed)
    initial = (
        _from_scratch(recipe, examples)
        if recipe.start.model is None
        else _from_model(recipe.start.model, recipe.max_length)
    )
    if recipe.mode == "forked":
        add_control_rows(initial.model, initial.tokenizer)
    return initial


def _from_model(name: str, length: int) -> InitialModel:
    from apar.models.load import load

    model, tokenizer = load(name, dtype="float32", device="cpu")
    check_window(model.config, name, length)
    if tokenizer.chat_template is None:
        raise ModelError(f"the tokenizer of {name} has no chat template; train from a chat model, or set chat_template")
    return InitialModel(model, tokenizer)


def check_window(config: Any, name: str, length: int) -> None:
    """Raise ModelError if the tree mask, which knows no windows, would let a token see more than the model does."""
    kinds = getattr(config, "layer_types", None) or ["sliding_attention"]
    window = getattr(config, "sliding_window", None) if "sliding_attention" in kinds else None
    if window and window < length:
        raise ModelError(
            f"{name} attends to the last {window} tokens in some layers, and samples have up to {length}; "
            "set max_length to the window at most"
        )


def _from_scratch(recipe: Recipe, examples: Sequence[Example]) -> InitialModel:
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = train_tokenizer(_texts(examples), recipe.start.vocab_size)
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


def _texts(examples: Sequence[Example]) -> Iterable[str]:
    for example in examples:
        yield from (message["content"] for message in example.messages)
        yield example.tree.text


def add_control_rows(model: Any, tokenizer: Any) -> None:
    """Give `[Fork]` and `[Child]` a row in the embeddings, started at the mean of all rows.

    The mean makes the new tokens improbable but possible before training. Rows are added only where the
    model has none to spare.
    """
    if not add_control_tokens(tokenizer):
        return
    embedding = model.get_input_embeddings()
    if len(tokenizer) > embedding.weight.shape[0]:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    new = tokenizer.convert_tokens_to_ids([FORK, CHILD])
    for layer in {model.get_input_embeddings(), model.get_output_embeddings()}:
        with torch.no_grad():
            others = torch.ones(layer.weight.shape[0], dtype=torch.bool)
            others[new] = False
            layer.weight[new] = layer.weight[others].mean(0)
