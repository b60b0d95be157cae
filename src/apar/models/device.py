"""Where a model runs, and in which number type."""

from __future__ import annotations

import torch

from apar.errors import ModelError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_device(name: str) -> torch.device:
    """The device of that name; `auto` is the GPU where there is one. Raises ModelError where it cannot be used."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"the device {name!r} cannot be used here: {reason}; use auto, cpu or cuda") from error
    return device


def choose_dtype(name: str, device: torch.device, quantize: str | None = None) -> torch.dtype | str:
    """The type of that name. `auto` is the checkpoint's on a GPU and float32 on the CPU.

    Quantised weights are multiplied in bfloat16 only: `auto` is that then. Raises ModelError for another type.
    """
    if name != "auto" and name not in DTYPES:
        raise ModelError(f"dtype is {name!r}; it must be auto, {', '.join(DTYPES)}")
    if quantize is not None:
        if name not in ("auto", "bfloat16"):
            raise ModelError(f"{quantize} weights are multiplied in bfloat16, not {name}; leave dtype out, or quantize")
        return torch.bfloat16
    if name == "auto":
        return torch.float32 if device.type == "cpu" else "auto"
    return DTYPES[name]
