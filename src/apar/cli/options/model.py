"""The options of a command that loads a model: how it is loaded, and how large its cache is."""

from __future__ import annotations

from typing import Any

import click

from apar.cli.options import gather

_OPTIONS: dict[str, tuple[Any, str, str]] = {
    "--dtype": (str, "TYPE", "float32, bfloat16 or float16.  [default: float32 on the CPU, else the model's]"),
    "--device": (str, "DEVICE", "cpu, cuda or cuda:N.  [default: the GPU if there is one]"),
    "--adapter": (str, "FOLDER", "Merge a LoRA adapter into the model: its folder or hub id."),
    "--quantize": (str, "KIND", "Weights in int8 or int4; computation is in bfloat16."),
    "--medusa": (
        str,
        "HEADS",
        "Draft with Medusa heads: their folder or hub id.  [default: the model's, if any]",
    ),
    "--drafts": (str, "KIND", "medusa, ngram, all or off; no text depends on it.  [default: all with heads, else off]"),
    "--num-blocks": (int, "N", "Size of the KV cache, in blocks of 16 tokens."),
    "--kv-memory": (str, "SIZE", "Size of the KV cache in bytes, as 2GiB.  [default: what fits]"),
    "--cpu-threads": (
        click.IntRange(min=1),
        "N",
        "Number of CPU threads.  [default: $OMP_NUM_THREADS, or by the CPUs and the model's size]",
    ),
    "--max-rows": (int, "N", "Most threads in one forward pass.  [default: 64]"),
}


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


model_options = gather(
    "loading",
    _given,
    *(click.option(name, type=kind, metavar=metavar, help=text) for name, (kind, metavar, text) in _OPTIONS.items()),
)
"""The command is called with the values that were set as `loading`: keyword arguments of `LLM`, which checks them."""
