"""What tells one base model from another, whatever the type or the file that its weights are kept in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import torch

from apar.errors import ModelError
from apar.models.side_file import BaseModel
from apar.tokens import CHILD, FORK

_SHOWN = 12
"""Digits of a fingerprint that a message shows."""


def base_fingerprint(model: Any, tokenizer: Any) -> str:
    """The SHA-256 of a base model, as 64 hexadecimal digits: of its vocabulary and of its norm weights.

    Quantisation leaves both alone, so that a GGUF file and the hub's files of one model agree, and so does the
    base with control tokens added. `model` is a Hugging Face model, in bfloat16 or float32, without an adapter.
    """
    digest = hashlib.sha256()
    for token, number in sorted(_tokens(tokenizer)):
        digest.update(f"{token}\0{number}\n".encode("utf-8", "surrogatepass"))
    for name, weight in sorted(_vectors(model), key=lambda entry: entry[0]):
        digest.update(f"{name}\0{weight.numel()}\n".encode())
        digest.update(weight.detach().to("cpu", torch.bfloat16).contiguous().view(torch.int16).numpy().tobytes())
    return digest.hexdigest()


def check_same_base(model: Any, tokenizer: Any, base: BaseModel, what: str) -> None:
    """Raise ModelError, naming `what` was trained on `base`, where a Hugging Face model is another one."""
    found, wanted = base_fingerprint(model, tokenizer), base.fingerprint
    if found != wanted:
        raise ModelError(
            f"{what} of another base: trained on {base.name} ({wanted[:_SHOWN]}), and this model is {found[:_SHOWN]}; "
            f"give {base.name}"
        )


def _tokens(tokenizer: Any) -> Iterator[tuple[str, int]]:
    """The vocabulary but for control tokens, and for the names that llama.cpp gives to rows without a token."""
    for token, number in tokenizer.get_vocab().items():
        if token not in (FORK, CHILD) and token != f"[PAD{number}]":
            yield token, number


def _vectors(model: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """The weights of one dimension; not the output layer's, whose length is that of the vocabulary."""
    head = model.get_output_embeddings()
    of_head = set() if head is None else {id(weight) for weight in head.parameters()}
    for name, weight in model.named_parameters():
        if weight.ndim == 1 and id(weight) not in of_head:
            yield name, weight
