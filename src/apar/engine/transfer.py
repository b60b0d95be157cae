"""From lists of whole numbers to tensors on the device."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor


def gather_numbers(parts: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """All numbers of `parts` one after another as int64 on the host, where `device` can fetch them by itself."""
    return torch.tensor([*chain.from_iterable(parts)], dtype=torch.long, pin_memory=device.type == "cuda")


def send(parts: Sequence[Sequence[int]], device: torch.device) -> list[Tensor]:
    """One int64 tensor for each list, all sent in one copy for which the host does not wait."""
    sent = gather_numbers(parts, device).to(device, non_blocking=True)
    return list(torch.split(sent, [len(part) for part in parts]))
