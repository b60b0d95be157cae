"""How many of the host's threads compute a forward pass on the CPU."""

from __future__ import annotations

from typing import Any

import torch

from apar.cpus import available, threads_chosen
from apar.errors import RequestError

BYTES_PER_THREAD = 64 << 20
"""Of weights: below some ten microseconds for each part of a layer, sharing it costs more than it gains."""

_lowered: dict[str, int] = {}


def check_threads(count: int | None) -> None:
    """Raise RequestError for a number of threads that means nothing."""
    if count is not None and count < 1:
        raise RequestError(f"cpu_threads is {count}; it must be at least 1")


def use_threads(model: Any, count: int | None) -> None:
    """Let PyTorch compute with `count` threads in this process.

    None: as many as a model on the CPU warrants (see `threads_for`), and no more than PyTorch had; as it was where
    the environment names a number, and on a GPU.
    """
    if count is None:
        if threads_chosen() or next(model.parameters()).device.type != "cpu":
            return
        count = min(_before(), threads_for(weight_bytes(model), available()))
        _lowered.update(before=_before(), ours=count)
    torch.set_num_threads(count)


def threads_for(weights: int, cpus: int) -> int:
    """A sensible number of threads for a model with so many bytes of weights, on so many CPUs."""
    return max(1, min(cpus, weights // BYTES_PER_THREAD))


def weight_bytes(model: Any) -> int:
    """Bytes of a model's weights, packed ones included."""
    tensors = (*model.parameters(), *model.buffers())
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _before() -> int:
    """The number of threads that PyTorch had before an earlier model changed it."""
    now = torch.get_num_threads()
    return _lowered["before"] if _lowered.get("ours") == now else now
