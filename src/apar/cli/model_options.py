"""The options of a command that loads a model: how it is loaded, and how large its cache is."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

_OPTIONS: dict[str, tuple[Any, str, str]] = {
    "--dtype": (str, "TYPE", "float32, bfloat16 or float16.  [default: float32 on the CPU, else the model's]"),
    "--device": (str, "DEVICE", "cpu, cuda or cuda:N.  [default: the GPU where there is one]"),
    "--adapter": (str, "FOLDER", "Merge a LoRA adapter into the model: its folder or hub id."),
    "--quantize": (str, "KIND", "int8 or int4: keep the weights in so many bits, and compute in bfloat16."),
    "--num-blocks": (int, "N", "Blocks of 16 tokens in the cache of keys and values."),
    "--kv-memory": (str, "SIZE", "Bytes of that cache instead, as 2GiB.  [default: what fits]"),
    "--max-rows": (int, "N", "Threads that share a forward pass, at most.  [default: 64]"),
}


def model_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a model; it is called with those that were set as `loading`.

    `loading` holds keyword arguments of `LLM`, which refuses what does not fit.
    """
    names = [option.removeprefix("--").replace("-", "_") for option in _OPTIONS]

    @wraps(command)
    def gathered(*args: Any, **values: Any) -> None:
        given = {name: values.pop(name) for name in names}
        command(*args, loading={name: value for name, value in given.items() if value is not None}, **values)

    decorated: Callable[..., None] = gathered
    for option, (kind, metavar, text) in reversed(_OPTIONS.items()):
        decorated = click.option(option, type=kind, metavar=metavar, help=text)(decorated)
    return decorated
