"""In which numbers to compute, and by which attention: chosen once, by what the device does."""

from __future__ import annotations

import shutil
import time

import torch

from apar.train.recipe import Recipe

_ROWS, _WIDTH = 2048, 768
_COMPILE_STEPS = 10
"""Compiling takes as long as a few steps."""


def choose_precision(recipe: Recipe, device: torch.device) -> torch.dtype:
    """The type of the arithmetic. CPUs differ by a factor of two either way, so there a product is timed in both."""
    if recipe.precision != "auto":
        return torch.float32 if recipe.precision == "float32" else torch.bfloat16
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return min((torch.float32, torch.bfloat16), key=_seconds)


def _seconds(dtype: torch.dtype) -> float:
    """Of a layer forwards and backwards, as training runs it: products in `dtype` of weights in float32; the best of 3.

    A product alone tells too little: to turn weights into bfloat16 costs time, and its gradients take other ways.
    """
    rows, layer = torch.randn(_ROWS, _WIDTH, requires_grad=True), torch.nn.Linear(_WIDTH, 2 * _WIDTH, bias=False)
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss = layer(rows).float().square().mean()
        loss.backward()
        best = min(best, time.perf_counter() - began)
    return best


def choose_attention(recipe: Recipe, device: torch.device) -> str:
    """How Transformers computes attention: FlexAttention skips what the tree mask hides, on a GPU only."""
    if recipe.attention != "auto":
        return recipe.attention
    return "flex_attention" if device.type == "cuda" else "sdpa"


def choose_compile(recipe: Recipe, device: torch.device) -> bool:
    """Whether to compile the layers: where it pays and, on a CPU, a C++ compiler is there."""
    if recipe.compile is not None:
        return recipe.compile
    has_compiler = device.type == "cuda" or any(map(shutil.which, ("g++", "clang++")))
    return has_compiler and recipe.steps > _COMPILE_STEPS
