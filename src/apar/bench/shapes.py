"""Models of well-known shapes with random weights, made on the spot: what a step costs depends on the shape alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.initialization import no_init_weights

from apar.errors import UserError

_LLAMA_1B = {
    "model_type": "llama",
    "vocab_size": 128256,
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
}
_LLAMA_7B = {
    "model_type": "llama",
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
}
_LLAMA_25M = {
    "model_type": "llama",
    "vocab_size": 32000,
    "hidden_size": 384,
    "intermediate_size": 896,
    "num_hidden_layers": 8,
    "num_attention_heads": 6,
    "num_key_value_heads": 6,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": True,
}
_QWEN_HALF_B = {
    "model_type": "qwen2",
    "vocab_size": 151936,
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
}

SHAPES: dict[str, dict[str, Any]] = {
    "llama-25m": _LLAMA_25M,
    "qwen-0.5b": _QWEN_HALF_B,
    "llama-1b": _LLAMA_1B,
    "llama-7b": _LLAMA_7B,
}
"""Names of shapes and their settings in Transformers; qwen-0.5b is Qwen2.5 0.5B, llama-1b Llama 3.2 1B."""

_SCALE = 0.02
# A prime, so that no two rows of a weight are the same for as long as a weight can be.
_RANDOM_NUMBERS = 4_194_301


def shape_config(name: str) -> Any:
    """The Transformers configuration of a shape; raises UserError with the names there are for another."""
    if name not in SHAPES:
        raise UserError(f"there is no shape {name!r}; there are {', '.join(SHAPES)}")
    settings = dict(SHAPES[name])
    return AutoConfig.for_model(settings.pop("model_type"), bos_token_id=None, eos_token_id=None, **settings)


def random_model(name: str, dtype: torch.dtype, device: torch.device) -> Any:
    """A model of a shape with the same random weights every time, ready to decode.

    The weights repeat four million random numbers: drawing every one anew takes minutes for 7B.
    """
    config = shape_config(name)
    with no_init_weights(), device:
        model: Any = AutoModelForCausalLM.from_config(config, dtype=dtype)  # type: ignore[no-untyped-call]
    model.tie_weights()
    _fill(model)
    return model.eval().requires_grad_(False)


@torch.no_grad()
def _fill(model: nn.Module) -> None:
    numbers = torch.randn(_RANDOM_NUMBERS, generator=torch.Generator().manual_seed(0)) * _SCALE
    start = 0
    for name, parameter in model.named_parameters():
        if name.endswith("norm.weight"):
            parameter.fill_(1.0)
            continue
        _repeat(numbers.to(parameter.device, parameter.dtype), parameter.view(-1), start)
        start = (start + parameter.numel()) % _RANDOM_NUMBERS


def _repeat(numbers: Tensor, target: Tensor, start: int) -> None:
    """Fill `target` with the numbers from `start` on, again and again."""
    done = 0
    while done < len(target):
        count = min(len(numbers) - start, len(target) - done)
        target[done : done + count] = numbers[start : start + count]
        done, start = done + count, 0
