"""How much memory there is, and whether the weights of a model fit into it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from apar.errors import ModelError
from apar.models.gguf_file import GgufFile
from apar.models.model_source import ModelSource
from apar.sizes import show_bytes


def free_bytes(device: torch.device) -> int:
    """The memory of a device that nothing takes now."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    limit = _container_bytes()
    host = _host_bytes()
    return host if limit is None else min(host, limit)


def _host_bytes() -> int:
    """What the host can give without swapping; where it does not tell, half of its memory."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    fields = dict(line.split(":", 1) for line in lines)
    return int(fields["MemAvailable"].split()[0]) << 10


def _container_bytes(group: Path = Path("/sys/fs/cgroup")) -> int | None:
    """What is left of the memory that a container allows its processes; None where it sets no limit."""
    try:
        limit = (group / "memory.max").read_text(encoding="ascii").strip()
        used = int((group / "memory.current").read_text(encoding="ascii"))
        lines = (group / "memory.stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    if limit == "max":
        return None
    # Files that were read and may be dropped count as used.
    droppable = dict(line.split() for line in lines).get("inactive_file", "0")
    return max(0, int(limit) - used + int(droppable))


def check_weights_fit(
    source: ModelSource,
    file: GgufFile | None,
    config: Any,
    dtype: torch.dtype | str,
    device: torch.device,
    name: str,
) -> None:
    """Raise ModelError if a folder, or a GGUF `file` of it, holds more weights than the memory that is free.

    Without this a process that asks for too much host memory is killed, and nobody is told why.
    """
    if file is not None:
        kept = dtype if isinstance(dtype, torch.dtype) else getattr(torch, file.dtype)
        needed = file.weights * kept.itemsize
    else:
        stored = config.dtype if isinstance(config.dtype, torch.dtype) else torch.float32
        kept = dtype if isinstance(dtype, torch.dtype) else stored
        folder = Path(source.path)
        files = sum(part.stat().st_size for part in folder.glob("*.safetensors")) if folder.is_dir() else 0
        needed = files * kept.itemsize // stored.itemsize
    free = free_bytes(device)
    if needed > free:
        raise ModelError(
            f"the weights of {name} take {show_bytes(needed)} in {_type_name(kept)}, and {show_bytes(free)} are free "
            f"on {device}; {_LESS_WEIGHT}"
        )


_LESS_WEIGHT = "load it with dtype bfloat16, or quantize, on another device, or take a smaller model"


def _type_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


@contextmanager
def memory_for(what: str, remedy: str) -> Iterator[None]:
    """Turn running out of memory inside into a ModelError that names `what` was made and the `remedy`."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        tried = re.search(r"allocate (\d+) bytes", str(error))
        size = f", at a piece of {show_bytes(int(tried[1]))}" if tried else ""
        raise ModelError(f"there is not enough memory for {what}{size}; {remedy}") from error


def memory_for_weights(name: str) -> Any:
    """`memory_for` while a model is loaded or changed."""
    return memory_for(f"the weights of {name}", _LESS_WEIGHT)


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error is an allocation that failed, on the CPU or a GPU."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error)
